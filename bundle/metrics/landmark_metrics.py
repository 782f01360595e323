"""Distances of landmarks from their truth; the means of the literature, MRE and SDR, as metrics of MONAI."""

import math
from collections.abc import Sequence
from functools import reduce

import numpy as np
import torch
from monai.metrics import CumulativeIterationMetric
from monai.utils import MetricReduction, look_up_option

from bundle.metrics.error_summary import CEPHALOMETRIC_RADII, LandmarkErrors, detection_scores, positive_radii
from bundle.records.landmarks import outside_image, truth_inside
from bundle.records.prediction import LandmarkPrediction


def radial_error(y_pred: torch.Tensor, y: torch.Tensor, spacing: torch.Tensor | None = None) -> torch.Tensor:
    """Compute the Euclidean distance between each landmark found and its truth.

    Args:
        y_pred: points found, shape (B, N, 2), ``(x, y)`` = (column, row), in pixels.
        y: true points, shape (B, N, 2), in the same coordinates; a point that is not finite is a missing truth.
        spacing: millimetres per pixel as ``(x, y)``, shape (B, 2), NaN where unknown; pixels need not be square. None
            leaves the distances in the unit of the points.

    Returns:
        Distances, shape (B, N), in mm where ``spacing`` is given and otherwise in the unit of the points, in float32
        or the widest dtype given. NaN where the truth is missing or the spacing is not a positive number; infinity
        where there is a truth and the point found is not finite, so that a lost landmark is never left out of a mean.

    Raises:
        ValueError: when the shapes are not those above.
    """
    if y_pred.shape != y.shape or y.ndim != 3 or y.shape[-1] != 2:
        raise ValueError(
            f"y_pred and y: expected the same shape (B, N, 2), got {tuple(y_pred.shape)} and {tuple(y.shape)}."
        )
    # float16 knows only every second pixel beyond 2048: never measure in less than float32
    dtype = reduce(torch.promote_types, (y_pred.dtype, y.dtype), torch.float32)
    offset = y_pred.to(dtype) - y.to(dtype)
    unknown = ~y.isfinite().all(dim=-1)
    if spacing is not None:
        offset = offset * spacing[:, None]
        unknown = unknown | ~(spacing.isfinite() & (spacing > 0)).all(dim=-1, keepdim=True)
    distance = torch.linalg.vector_norm(offset, dim=-1)
    lost = ~y_pred.isfinite().all(dim=-1)
    return distance.masked_fill(lost, math.inf).masked_fill(unknown, math.nan)


def landmark_errors(
    found: Sequence[LandmarkPrediction], truths: np.ndarray, names: Sequence[str], device: torch.device | str = "cpu"
) -> LandmarkErrors:
    """The errors of M images.

    Args:
        found: what was found in each.
        truths: (M, N, 2), true points ``(x, y)`` in pixels, NaN where there is none.
        names: N names.
        device: where they are computed, in double precision, which Apple's GPUs do not have: theirs are on the CPU.
    """
    device = "cpu" if torch.device(device).type == "mps" else device
    points = np.array([one.points for one in found]).reshape(truths.shape)
    spacing = np.array([one.spacing or (math.nan, math.nan) for one in found], dtype=points.dtype).reshape(-1, 2)
    known, true, steps = (torch.from_numpy(values).to(device) for values in (points, truths, spacing))
    px, mm = (radial_error(known, true, step).cpu().numpy() for step in (None, steps))
    return LandmarkErrors(tuple(one.image_id for one in found), tuple(names), px, mm)


def inside_truths(
    found: Sequence[LandmarkPrediction], labels: Sequence[np.ndarray], names: Sequence[str]
) -> tuple[np.ndarray, list[str]]:
    """The true points that lie in their images, for nothing can be found outside.

    Args:
        found: what was found in each of M images.
        labels: the true points ``(x, y)`` of each, (N, 2) in pixels, NaN where there is none.
        names: N names.

    Returns:
        (M, N, 2), NaN where there is none inside; and those outside, in words.
    """
    truths = [truth_inside(label, one.width, one.height) for one, label in zip(found, labels)]
    outside = [
        f"{name} of {one.image_id}"
        for one, label in zip(found, labels)
        for name, off in zip(names, outside_image(label, one.width, one.height))
        if off
    ]
    return np.array(truths, dtype=np.float64).reshape(len(found), len(names), 2), outside


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
            The reduced scores, in the dtype of the points (at least float32).

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
