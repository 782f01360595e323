"""Successful detection rate (SDR)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from monai.utils import MetricReduction

from bundle.errors import ConfigError
from bundle.metrics.error_summary import detection_scores
from bundle.metrics.radial_error import RadialErrorMetric

#: The radii in mm of the cephalometric challenges (ISBI 2014 and 2015), in which the literature reports its rates.
CEPHALOMETRIC_RADII = (2.0, 2.5, 3.0, 4.0)


def positive_radii(radii: Sequence[float]) -> tuple[float, ...]:
    """One radius or several, as numbers.

    Raises:
        ConfigError: when there is none, or one is no positive number.
    """
    numbers = radii if isinstance(radii, Sequence) and not isinstance(radii, str) else ()
    if not numbers or not all(
        isinstance(radius, int | float) and math.isfinite(radius) and radius > 0 for radius in numbers
    ):
        raise ConfigError(
            f"radii is {radii!r}, but one or more positive distances are expected: "
            f"give for example {list(CEPHALOMETRIC_RADII)}."
        )
    return tuple(float(radius) for radius in numbers)


class SuccessfulDetectionRateMetric(RadialErrorMetric):
    """Percentage of landmarks found nearer to their truth than a radius, the SDR of the literature; higher is better.

    A landmark is detected where ``distance < radius``, strictly. Missing truths count nowhere; a point found that is
    not finite counts as not detected. See :class:`bundle.metrics.radial_error.RadialErrorMetric` for inputs, units
    and reductions.

    The buffer, and what a call returns, is 100, 0 or NaN (no truth) for each landmark in each image: shape (B, N) for
    one radius given as a number, (B, N, R) for a sequence of R radii. :meth:`aggregate` keeps the last dimension: its
    default gives a number, or shape (R,).

    Args:
        radii: one radius or several, in the unit of the points.
        reduction: how to reduce the scores (see the base class).

    Raises:
        ConfigError: when there is no radius or one is not a positive number.
        ValueError: when ``reduction`` is unknown.
    """

    def __init__(
        self,
        radii: float | Sequence[float] = CEPHALOMETRIC_RADII,
        reduction: MetricReduction | str = MetricReduction.MEAN,
    ) -> None:
        super().__init__(reduction=reduction)
        several = positive_radii(radii if isinstance(radii, Sequence) else [radii])
        self.radii: float | tuple[float, ...] = several if isinstance(radii, Sequence) else several[0]

    def _compute_scores(self, errors: torch.Tensor) -> torch.Tensor:
        radii = errors.new_tensor(self.radii)
        return detection_scores(errors[..., None] if radii.ndim else errors, radii)
