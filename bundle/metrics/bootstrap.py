"""Bootstrap intervals over images (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3).

The landmarks of one image are not independent, so whole images are drawn. The draws come from a generator on the
processor, so that they are the same on every device and from any number of processes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from bundle.records.errors import ConfigError

#: Numbers that are in memory at a time while medians are drawn.
_CHUNK = 8_000_000


def draw_images(images: int, resamples: int, seed: int, device: torch.device | str = "cpu") -> Tensor:
    """How often each image is in each resample: (resamples, images), float64.

    Args:
        images: number of images.
        resamples: number of resamples.
        seed: seed of the draws.
        device: where the result shall be.

    Raises:
        ConfigError: when there is not at least one resample.
    """
    if resamples < 1:
        raise ConfigError(f"resamples is {resamples}, expected at least one: 2000 are usual.")
    weights = torch.zeros(resamples, images, dtype=torch.float64)
    if images:
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randint(images, (resamples, images), generator=generator)
        weights.scatter_add_(1, chosen, torch.ones(resamples, images, dtype=torch.float64))
    return weights.to(device)


def resampled_means(values: Tensor, weights: Tensor, by_landmark: bool = False) -> Tensor:
    """The mean over all points, or each landmark's, in every resample.

    Args:
        values: (M, N), NaN where there is none: errors, or 100 and 0 for a rate.
        weights: (R, M), what :func:`draw_images` gives.
        by_landmark: whether each landmark has a mean of its own.

    Returns:
        (R,), or (R, N); NaN in a resample without any value.
    """
    known = ~values.isnan()
    # zero times infinity is NaN: infinite errors are counted apart
    finite = torch.where(known & values.isfinite(), values, 0.0).to(weights)
    infinite = (known & values.isinf()).to(weights)
    totals = [part if by_landmark else part.sum(dim=1, keepdim=True) for part in (finite, infinite, known.to(weights))]
    sums, lost, counts = (weights @ part for part in totals)
    means = torch.where(lost > 0, math.inf, sums / counts)
    return means if by_landmark else means[:, 0]


def resampled_medians(values: Tensor, weights: Tensor) -> Tensor:
    """The median over all points in every resample: (R,); see :func:`resampled_means`."""
    rows, columns = (~values.isnan()).nonzero(as_tuple=True)
    ordered, order = values[rows, columns].to(weights).sort()
    image = rows[order]
    if not len(ordered):
        return weights.new_full((len(weights),), math.nan)
    medians = []
    for part in _parts(weights, len(ordered)):
        reached = part[:, image].cumsum(dim=1)
        total = reached[:, -1:]
        low = torch.searchsorted(reached, torch.floor((total - 1) / 2) + 1)
        high = torch.searchsorted(reached, torch.floor(total / 2) + 1)
        last = len(ordered) - 1
        below, above = ordered[low.clamp(max=last)[:, 0]], ordered[high.clamp(max=last)[:, 0]]
        middle = torch.where(below == above, below, (below + above) / 2)
        medians.append(middle.masked_fill(total[:, 0] == 0, math.nan))
    return torch.cat(medians)


def _parts(weights: Tensor, points: int) -> Iterator[Tensor]:
    step = max(1, _CHUNK // points)
    for start in range(0, len(weights), step):
        yield weights[start : start + step]


def percentile_interval(resampled: Tensor, level: float = 0.95) -> tuple[Tensor, Tensor]:
    """The interval between two percentiles of a resampled statistic.

    Args:
        resampled: (R, ...), NaN where a resample had nothing to measure.
        level: share of the resamples within, such as 0.95.

    Returns:
        lower and upper bound, each of shape (...).

    Raises:
        ConfigError: when the level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ConfigError(f"level is {level}, expected a share between 0 and 1 such as 0.95.")
    return _quantile(resampled, (1 - level) / 2), _quantile(resampled, (1 + level) / 2)


def _quantile(values: Tensor, share: float) -> Tensor:
    """The quantile along the first axis, linear between neighbours; infinite neighbours give infinity, not NaN."""
    ordered = values.sort(dim=0).values  # NaN last
    count = (~values.isnan()).sum(dim=0)
    place = share * (count - 1).clamp(min=0).to(values.dtype)
    low = place.floor().long()
    high = torch.minimum(low + 1, (count - 1).clamp(min=0))
    below, above = ordered.gather(0, low[None])[0], ordered.gather(0, high[None])[0]
    part = place - low
    between = torch.where((part == 0) | (below == above), below, below + part * (above - below))
    return between.masked_fill(count == 0, math.nan)


def rate_scores(errors: Tensor, radius: float) -> Tensor:
    """100 where ``error < radius``, else 0; NaN where there is no truth: (M, N), whose mean is the detection rate."""
    return ((errors < radius).to(errors.dtype) * 100).masked_fill(errors.isnan(), math.nan)


def failure_scores(errors: Tensor, threshold: float) -> Tensor:
    """100 where ``error > threshold``, else 0; NaN where there is no truth: (M, N), whose mean is the failure rate."""
    return ((errors > threshold).to(errors.dtype) * 100).masked_fill(errors.isnan(), math.nan)


def as_pairs(bounds: tuple[Tensor, Tensor]) -> list[Sequence[float]]:
    """Bounds of shape (N,) as N pairs of numbers."""
    return torch.stack(bounds, dim=-1).reshape(-1, 2).tolist()
