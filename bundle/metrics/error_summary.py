"""What a set of radial errors amounts to: mean, deviation, median, largest, detection curve, failures.

All functions take errors as :func:`bundle.metrics.radial_error.radial_error` gives them, stay on their device, skip NaN
(no truth) and count infinity (a landmark that was not found) as a miss that makes means infinite.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bundle.metrics.radial_error import RadialErrorMetric
from bundle.records.errors import ConfigError


@dataclass(frozen=True)
class ErrorSummary:
    """Statistics of errors, each a tensor: of shape () over all points, (N,) by landmark.

    Attributes:
        count: how many errors there are.
        mean: their mean; NaN without any, infinite with a landmark that was not found.
        deviation: their standard deviation, divided by their number.
        median: their median; of an even number the mean of the two in the middle.
        largest: the largest.
    """

    count: Tensor
    mean: Tensor
    deviation: Tensor
    median: Tensor
    largest: Tensor


def summarise(errors: Tensor, by_landmark: bool = False) -> ErrorSummary:
    """Sum up errors.

    Args:
        errors: distances of shape (M, N), in mm or pixels; NaN where there is no truth.
        by_landmark: whether each landmark is summed up by itself, over the images.

    Raises:
        ValueError: when the errors are not of shape (M, N).
    """
    _check_errors(errors)
    values = errors if by_landmark else errors.reshape(-1, 1)
    known = ~values.isnan()
    count = known.sum(dim=0)
    mean = values.nanmean(dim=0) if len(values) else values.new_full((values.shape[1],), math.nan)
    deviation = (values - mean).square().nanmean(dim=0).sqrt() if len(values) else mean
    largest = torch.where(known, values, -math.inf).amax(dim=0) if len(values) else mean
    found = ErrorSummary(count, mean, deviation, _median(values, count), largest.masked_fill(count == 0, math.nan))
    return found if by_landmark else ErrorSummary(*(getattr(found, name)[0] for name in ErrorSummary.__annotations__))


def _median(values: Tensor, count: Tensor) -> Tensor:
    """The median of each column; ``nanmedian`` of torch takes the lower of two in the middle."""
    if not len(values):
        return values.new_full((values.shape[1],), math.nan)
    ordered = values.sort(dim=0).values  # NaN last
    low, high = ((count - 1).clamp(min=0) // 2)[None], (count // 2).clamp(max=len(values) - 1)[None]
    below, above = ordered.gather(0, low)[0], ordered.gather(0, high)[0]
    middle = torch.where(below == above, below, (below + above) / 2)
    return middle.masked_fill(count == 0, math.nan)


def detection_curve(errors: Tensor, radii: Sequence[float] | Tensor, by_landmark: bool = False) -> Tensor:
    """Percentage of points with ``error < radius``, for every radius: the SDR curve.

    Args:
        errors: distances of shape (M, N); NaN where there is no truth.
        radii: R distances in the unit of the errors, not negative; the radius 0 detects nothing.
        by_landmark: whether each landmark has a curve of its own.

    Returns:
        percentages of shape (R,), or (R, N); NaN where there is nothing to measure.

    Raises:
        ConfigError: when a radius is negative or not finite.
    """
    _check_errors(errors)
    given = torch.as_tensor(radii, dtype=errors.dtype, device=errors.device)
    if isinstance(radii, Sequence) and not all(math.isfinite(radius) and radius >= 0 for radius in radii):
        raise ConfigError(f"radii is {list(radii)!r}, but distances of at least 0 are expected: leave the others out.")
    values = errors if by_landmark else errors.reshape(-1, 1)
    hits = torch.stack([(values < radius).sum(dim=0) for radius in given])
    percent = 100 * hits.to(errors.dtype) / (~values.isnan()).sum(dim=0)
    return percent if by_landmark else percent[:, 0]


def failure_rate(errors: Tensor, threshold: float, by_landmark: bool = False) -> Tensor:
    """Percentage of points with ``error > threshold``.

    Args:
        errors: distances of shape (M, N); NaN where there is no truth.
        threshold: a distance in the unit of the errors.
        by_landmark: whether each landmark has a rate of its own.

    Returns:
        percentages of shape (), or (N,); NaN where there is nothing to measure.
    """
    _check_errors(errors)
    values = errors if by_landmark else errors.reshape(-1, 1)
    percent = 100 * (values > threshold).sum(dim=0).to(errors.dtype) / (~values.isnan()).sum(dim=0)
    return percent if by_landmark else percent[0]


def _check_errors(errors: Tensor) -> None:
    if errors.ndim != 2:
        raise ValueError(f"errors: expected shape (M, N), images by landmarks, got {tuple(errors.shape)}.")


class ErrorSummaryMetric(RadialErrorMetric):
    """All statistics of a run as one metric, over one process or several.

    Feed it points as every :class:`bundle.metrics.radial_error.RadialErrorMetric`; :meth:`summary` and
    :meth:`errors` then speak for all images of all processes.
    """

    def _compute_scores(self, errors: Tensor) -> Tensor:
        return errors

    def errors(self) -> Tensor:
        """The errors of all images of all processes, (M, N), those of rank 0 first.

        Raises:
            ValueError: when no image was seen.
        """
        found: Any = self.aggregate("none")
        return found[0] if self.get_not_nans else found

    def summary(self, by_landmark: bool = False) -> ErrorSummary:
        """See :func:`summarise`.

        Raises:
            ValueError: when no image was seen.
        """
        return summarise(self.errors(), by_landmark)
