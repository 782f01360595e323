"""The successful detection rate as a metric of an engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from monai.handlers import IgniteMetricHandler
from monai.utils import MetricReduction

from bundle.handlers.landmark_metric import LandmarkMetricHandler
from bundle.metrics.detection_rate import CEPHALOMETRIC_RADII, SuccessfulDetectionRateMetric, positive_radii


class SuccessfulDetectionRateHandler(LandmarkMetricHandler):
    """Computes the percentage of landmarks found nearer to their truth than ONE radius, over an epoch.

    One handler has one radius, because an engine's metric should be one number: ``StatsHandler`` prints,
    ``TensorBoardStatsHandler`` plots and ``CheckpointSaver`` compares numbers only, and ``MetricsSaver`` would write
    a tensor or a dict into a single cell. :func:`detection_rate_handlers` makes the handlers of several radii.
    """

    def __init__(
        self,
        radius: float = CEPHALOMETRIC_RADII[0],
        reduction: MetricReduction | str = MetricReduction.MEAN,
        output_transform: Callable = lambda x: x,
        save_details: bool = True,
        earlier: np.ndarray | None = None,
    ) -> None:
        """Set up the metric.

        Args:
            radius: landmarks with ``distance < radius`` count as detected; in the unit of the points.
            reduction: ``"mean"``, one percentage over all landmarks of all images; ``"mean_batch"``, one per
                landmark; ``"mean_channel"``, one per image; or ``"none"``.
            output_transform: callable to make ``(y_pred, y)`` of ``engine.state.output``, points already in mm for a
                radius in mm (see :class:`bundle.handlers.mean_radial_error.MeanRadialErrorHandler`).
            save_details: whether to keep 100, 0 or NaN (no truth) for each landmark in each image, shape (M, N), in
                ``engine.state.metric_details`` with the metric's name as key.
            earlier: errors of images that are done already, (M, N), in the unit of the points.

        Raises:
            ConfigError: when ``radius`` is not a positive number.
            ValueError: when ``reduction`` is unknown.

        See Also:
            :class:`bundle.metrics.detection_rate.SuccessfulDetectionRateMetric`
        """
        super().__init__(
            metric_fn=SuccessfulDetectionRateMetric(radii=float(radius), reduction=reduction),
            output_transform=output_transform,
            save_details=save_details,
            earlier=earlier,
        )


def detection_rate_handlers(
    radii: Sequence[float] = CEPHALOMETRIC_RADII,
    output_transform: Callable = lambda x: x,
    save_details: bool = False,
    unit: str = "mm",
    earlier: np.ndarray | None = None,
) -> dict[str, IgniteMetricHandler]:
    """Make one detection rate per radius, to hand to ``additional_metrics`` of an engine as it stands.

    Args:
        radii: the radii, in the unit of the points.
        output_transform: see :class:`SuccessfulDetectionRateHandler`.
        save_details: see :class:`SuccessfulDetectionRateHandler`.
        unit: the unit of the points, for the names only.
        earlier: see :class:`SuccessfulDetectionRateHandler`.

    Returns:
        Handlers by name, in the order of the radii: ``"sdr_2.0mm"``, ``"sdr_2.5mm"``, ...

    Raises:
        ConfigError: when a radius is not a positive number.
    """
    return {
        f"sdr_{float(radius)}{unit}": SuccessfulDetectionRateHandler(
            radius, output_transform=output_transform, save_details=save_details, earlier=earlier
        )
        for radius in positive_radii(radii)
    }
