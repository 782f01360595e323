"""The metrics of landmarks as metrics of an engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from monai.handlers import IgniteMetricHandler
from monai.utils import MetricReduction

from bundle.metrics.detection_rate import CEPHALOMETRIC_RADII, SuccessfulDetectionRateMetric, positive_radii
from bundle.metrics.mean_radial_error import MeanRadialErrorMetric
from bundle.metrics.radial_error import RadialErrorMetric


def lower_is_better(current: float, best: float) -> bool:
    """Compare two values of an error, for ``metric_cmp_fn`` of an evaluator whose key metric is one.

    Args:
        current: the value of this epoch.
        best: the best value so far.

    Returns:
        Whether ``current`` is the better one. A number is better than NaN, the error of an epoch with nothing to
        measure, which otherwise would stay the best for ever.
    """
    return current < best or (best != best and current == current)


class LandmarkMetricHandler(IgniteMetricHandler):
    """A metric over all ranks, which also counts the images that an earlier start of the run measured.

    It is in the unit of the points, and NaN after an epoch without images, as where none of them could be read. An
    engine's output holds no spacing, but its postprocessing sees batch and output together: there, points become
    millimetres (see :class:`bundle.data.PointsInMillimetresd`).

    Args:
        metric_fn: the metric.
        output_transform: makes ``(y_pred, y)`` of ``engine.state.output``: batch-first tensors of shape (B, N, 2) or
            lists of B tensors of shape (N, 2), points ``(x, y)``, a true point of NaN where the truth is missing.
        save_details: whether to keep the score of each landmark in each image, shape (M, N), in
            ``engine.state.metric_details`` with the metric's name as key.
        earlier: errors of images that are done already, (M, N), in the unit of the points.
    """

    metric_fn: RadialErrorMetric

    def __init__(
        self,
        metric_fn: RadialErrorMetric,
        output_transform: Callable = lambda x: x,
        save_details: bool = True,
        earlier: np.ndarray | None = None,
    ) -> None:
        self.earlier = torch.zeros(0) if earlier is None else torch.from_numpy(earlier)
        super().__init__(metric_fn=metric_fn, output_transform=output_transform, save_details=save_details)

    def reset(self) -> None:
        """Forget the images of the epoch, but not the earlier ones."""
        super().reset()
        if len(self.earlier):
            self.metric_fn.add_errors(self.earlier)

    def compute(self) -> Any:
        """The value of the epoch."""
        return super().compute() if self.metric_fn.get_buffer() is not None else float("nan")


class MeanRadialErrorHandler(LandmarkMetricHandler):
    """The mean radial error over all landmarks of all images of an epoch.

    Lower is better: as the key metric it needs ``metric_cmp_fn=lower_is_better`` in the evaluator and
    ``key_metric_negative_sign=True`` in a ``CheckpointSaver``.

    Args:
        reduction: as of :class:`bundle.metrics.radial_error.RadialErrorMetric`; a key metric needs ``"mean"``.
        options: as of :class:`LandmarkMetricHandler`.

    Raises:
        ValueError: when ``reduction`` is unknown.
    """

    def __init__(self, reduction: MetricReduction | str = MetricReduction.MEAN, **options: Any) -> None:
        super().__init__(MeanRadialErrorMetric(reduction=reduction), **options)


class SuccessfulDetectionRateHandler(LandmarkMetricHandler):
    """The percentage of landmarks found nearer to their truth than ONE radius, over an epoch.

    One handler has one radius, because an engine's metric should be one number: ``StatsHandler`` prints,
    ``TensorBoardStatsHandler`` plots and ``CheckpointSaver`` compares numbers only.

    Args:
        radius: landmarks with ``distance < radius`` count as detected; in the unit of the points.
        reduction: as of :class:`MeanRadialErrorHandler`.
        options: as of :class:`LandmarkMetricHandler`.

    Raises:
        ConfigError: when ``radius`` is not a positive number.
        ValueError: when ``reduction`` is unknown.
    """

    def __init__(
        self,
        radius: float = CEPHALOMETRIC_RADII[0],
        reduction: MetricReduction | str = MetricReduction.MEAN,
        **options: Any,
    ) -> None:
        super().__init__(SuccessfulDetectionRateMetric(radii=float(radius), reduction=reduction), **options)


def detection_rate_handlers(
    radii: Sequence[float] = CEPHALOMETRIC_RADII, unit: str = "mm", **options: Any
) -> dict[str, IgniteMetricHandler]:
    """Make one detection rate per radius, to hand to ``additional_metrics`` of an engine as it stands.

    Args:
        radii: the radii, in the unit of the points.
        unit: the unit of the points, for the names only.
        options: as of :class:`LandmarkMetricHandler`.

    Returns:
        Handlers by name, in the order of the radii: ``"sdr_2.0mm"``, ``"sdr_2.5mm"``, ...

    Raises:
        ConfigError: when a radius is not a positive number.
    """
    return {
        f"sdr_{float(radius)}{unit}": SuccessfulDetectionRateHandler(radius, **options)
        for radius in positive_radii(radii)
    }
