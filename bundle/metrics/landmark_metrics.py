"""The mean radial error (MRE) and the successful detection rate (SDR) as metrics of MONAI."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.metrics import CumulativeIterationMetric
from monai.utils import MetricReduction, look_up_option

from bundle.metrics.error_summary import CEPHALOMETRIC_RADII, detection_scores, positive_radii
from bundle.metrics.radial_error import radial_error

#: What each reduction averages over; the buffer is (images, landmarks, ...).
_AVERAGED_DIMENSIONS: dict[MetricReduction, tuple[int, ...]] = {
    MetricReduction.NONE: (),
    MetricReduction.MEAN: (0, 1),
    MetricReduction.MEAN_BATCH: (0,),
    MetricReduction.MEAN_CHANNEL: (1,),
}


class MeanRadialErrorMetric(CumulativeIterationMetric):
    """Mean distance between landmarks found and their truth, the MRE of the landmark literature; lower is better.

    Inputs are batch-first tensors of shape (B, N, 2) or lists of B tensors of shape (N, 2), points ``(x, y)`` =
    (column, row). The unit of the result is the unit of the points; multiply both by the spacing first for an MRE in
    millimetres::

        metric = MeanRadialErrorMetric()
        for batch in loader:
            scale = batch["spacing"][:, None]  # (B, 1, 2), mm per pixel (x, y)
            metric(find(batch["image"]) * scale, batch["points"] * scale)
        mre_mm = metric.aggregate()
        mre_mm_of_each_landmark = metric.aggregate("mean_batch")
        metric.reset()

    A true point of NaN is missing and counts nowhere; a point found that is not finite makes the mean infinite. The
    buffer, and what a call returns, is the distance of each landmark in each image, shape (B, N). As a metric of an
    engine it is the ``metric_fn`` of :py:class:`monai.handlers.IgniteMetricHandler`.

    Args:
        reduction: how to reduce the scores, which are of shape (M, N, ...) for M images; NaN is skipped, and a mean of
            nothing is NaN. Available:

            - ``"mean"``: over all landmarks of all images, shape (...). The points are pooled: every landmark that has
              a truth counts once. (MONAI's own ``"mean"`` averages the means of the images, so a landmark counts more
              where others are missing, and it gives 0, a perfect error, where there is nothing to measure.)
            - ``"mean_batch"``: per landmark over the images, shape (N, ...).
            - ``"mean_channel"``: per image over its landmarks, shape (M, ...).
            - ``"none"``: as they are.
    """

    def __init__(self, reduction: MetricReduction | str = MetricReduction.MEAN) -> None:
        super().__init__()
        self.reduction = reduction

    def _compute_tensor(self, y_pred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return radial_error(y_pred, y)

    def aggregate(self, reduction: MetricReduction | str | None = None) -> torch.Tensor:
        """Reduce the scores of all images seen since the last reset, in all processes.

        Args:
            reduction: how to reduce (see the class); None takes the one given to the metric.

        Returns:
            The reduced scores, on the device of the points and in their dtype (at least float32).

        Raises:
            ValueError: when no image was seen or ``reduction`` is none of those of the class.
        """
        dimensions = _AVERAGED_DIMENSIONS[look_up_option(reduction or self.reduction, _AVERAGED_DIMENSIONS.keys())]
        scores = self.get_buffer()
        if scores is None:
            raise ValueError("there is nothing to aggregate: call the metric with points first.")
        return scores.nanmean(dimensions) if dimensions else scores  # an empty tuple would mean all of them


class SuccessfulDetectionRateMetric(MeanRadialErrorMetric):
    """Percentage of landmarks found nearer to their truth than a radius, the SDR of the literature; higher is better.

    A landmark is detected where ``distance < radius``, strictly. Inputs and reductions are those of the base class; a
    point found that is not finite counts as not detected. The buffer, and what a call returns, is 100, 0 or NaN (no
    truth) for each landmark in each image, (B, N, R) for R radii. :meth:`aggregate` keeps the last dimension.

    Args:
        radii: the radii, in the unit of the points.
        reduction: how to reduce the scores.

    Raises:
        ConfigError: when there is no radius or one is not a positive number.
    """

    def __init__(
        self, radii: Sequence[float] = CEPHALOMETRIC_RADII, reduction: MetricReduction | str = MetricReduction.MEAN
    ) -> None:
        super().__init__(reduction)
        self.radii = positive_radii(radii)

    def _compute_tensor(self, y_pred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        errors = radial_error(y_pred, y)
        return detection_scores(errors[..., None], errors.new_tensor(self.radii))
