"""How far landmarks are from their truth, and the base of the metrics made of that distance."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from functools import reduce
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from monai.metrics import CumulativeIterationMetric
from monai.utils import MetricReduction, look_up_option

from bundle.metrics.error_summary import LandmarkErrors
from bundle.ranks import of_all
from bundle.records.landmarks import outside_image, truth_inside
from bundle.records.prediction import LandmarkPrediction

#: What each reduction averages over; the buffer is (images, landmarks, ...).
_AVERAGED_DIMENSIONS: dict[MetricReduction, tuple[int, ...]] = {
    MetricReduction.NONE: (),
    MetricReduction.MEAN: (0, 1),
    MetricReduction.MEAN_BATCH: (0,),
    MetricReduction.MEAN_CHANNEL: (1,),
}


def _check_points(name: str, points: torch.Tensor) -> None:
    if not isinstance(points, torch.Tensor):
        raise TypeError(f"{name}: expected a torch.Tensor, got {type(points).__name__}.")
    if points.ndim != 3 or points.shape[-1] != 2:
        raise ValueError(f"{name}: expected shape (B, N, 2), got {tuple(points.shape)}.")


def radial_error(y_pred: torch.Tensor, y: torch.Tensor, spacing: torch.Tensor | None = None) -> torch.Tensor:
    """Compute the Euclidean distance between each landmark found and its truth.

    Everything stays on the tensors' device and nothing waits for it.

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
        TypeError: when an argument is not a tensor.
        ValueError: when the shapes are not those above.
    """
    _check_points("y_pred", y_pred)
    _check_points("y", y)
    if y_pred.shape != y.shape:
        raise ValueError(f"y: expected the shape of y_pred, {tuple(y_pred.shape)}, got {tuple(y.shape)}.")
    # float16 knows only every second pixel beyond 2048: never measure in less than float32
    dtype = reduce(torch.promote_types, (y_pred.dtype, y.dtype), torch.float32)
    offset = y_pred.to(dtype) - y.to(dtype)
    unknown = ~y.isfinite().all(dim=-1)
    if spacing is not None:
        if not isinstance(spacing, torch.Tensor):
            raise TypeError(f"spacing: expected a torch.Tensor, got {type(spacing).__name__}.")
        if spacing.shape != (len(y), 2):
            raise ValueError(f"spacing: expected shape {(len(y), 2)}, got {tuple(spacing.shape)}.")
        offset = offset * spacing[:, None]
        unknown = unknown | ~(spacing.isfinite() & (spacing > 0)).all(dim=-1, keepdim=True)
    distance = torch.linalg.vector_norm(offset, dim=-1)
    lost = ~y_pred.isfinite().all(dim=-1)
    return distance.masked_fill(lost, math.inf).masked_fill(unknown, math.nan)


def landmark_errors(found: Sequence[LandmarkPrediction], truths: np.ndarray, names: Sequence[str]) -> LandmarkErrors:
    """The errors of M images.

    Args:
        found: what was found in each.
        truths: (M, N, 2), true points ``(x, y)`` in pixels, NaN where there is none.
        names: N names.
    """
    points = torch.from_numpy(np.array([one.points for one in found]).reshape(truths.shape))
    spacing = torch.tensor([one.spacing or (math.nan, math.nan) for one in found], dtype=points.dtype).reshape(-1, 2)
    true = torch.from_numpy(truths)
    px, mm = radial_error(points, true), radial_error(points, true, spacing)
    return LandmarkErrors(tuple(one.image_id for one in found), tuple(names), px.numpy(), mm.numpy())


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


class RadialErrorMetric(CumulativeIterationMetric):
    """Base of the metrics of landmark distances: checks its inputs, keeps one row per image and reduces the rows.

    Subclasses only turn distances into scores, in :meth:`_compute_scores`.

    Input ``y_pred`` and ``y`` are batch-first tensors of shape (B, N, 2) or lists of B tensors of shape (N, 2), points
    ``(x, y)`` = (column, row). The unit of the result is the unit of the points: for millimetres multiply both by the
    image's spacing first, ``points * spacing[:, None]``. A true point of NaN is missing and counts nowhere; a spacing
    of NaN makes it one.

    Scores of all images gather over all ranks before they are reduced, whatever the number of images in each, as in
    every :py:class:`monai.metrics.CumulativeIterationMetric`. Unlike there, a rank may have no image at all.

    Args:
        reduction: how to reduce the scores, which are of shape (M, N, ...) for M images; NaN is skipped, and a mean of
            nothing is NaN. Available:

            - ``"mean"``: over all landmarks of all images, shape (...). The points are pooled: every landmark that has
              a truth counts once. (MONAI's own ``"mean"`` averages the means of the images, so a landmark counts more
              where others are missing, and it gives 0, a perfect error, where there is nothing to measure.)
            - ``"mean_batch"``: per landmark over the images, shape (N, ...).
            - ``"mean_channel"``: per image over its landmarks, shape (M, ...).
            - ``"none"``: as they are.

    Raises:
        ValueError: when ``reduction`` is none of these.
    """

    def __init__(self, reduction: MetricReduction | str = MetricReduction.MEAN) -> None:
        super().__init__()
        self.reduction = self._supported(reduction)

    @staticmethod
    def _supported(reduction: MetricReduction | str) -> MetricReduction:
        return look_up_option(reduction, _AVERAGED_DIMENSIONS.keys())

    @abstractmethod
    def _compute_scores(self, errors: torch.Tensor) -> torch.Tensor:
        """Turn distances, shape (B, N), into scores, shape (B, N, ...), NaN where the distance is NaN."""

    def _compute_list(self, y_pred: Any, y: Any = None, **kwargs: Any) -> Any:
        if y is None or len(y_pred) != len(y) or not len(y):
            raise ValueError(
                f"y_pred and y: expected the same number of images, at least one, "
                f"got {len(y_pred)} and {'None' if y is None else len(y)}."
            )
        return super()._compute_list(y_pred, y, **kwargs)

    def _compute_tensor(self, y_pred: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:  # type: ignore[override]
        if y is None:
            raise ValueError("y: expected true points of shape (B, N, 2), got None.")
        return self._compute_scores(radial_error(y_pred, y))

    def add_errors(self, errors: torch.Tensor) -> None:
        """Count images that were measured before.

        Args:
            errors: their distances, shape (M, N), as :func:`radial_error` gives them.
        """
        self.extend(self._compute_scores(errors))

    def _sync(self) -> None:
        """Gather the scores of all ranks; MONAI's own would wait for ever for a rank that has none."""
        if self._synced:
            return
        own = None
        if self._buffers is not None:
            (rows,) = self._buffers
            own = torch.stack([row.to(rows[-1].device) for row in rows])  # earlier errors come from a file
        if idist.get_world_size() == 1:
            self._synced_tensors = None if own is None else [own]
        else:
            gathered = of_all(None if own is None else own.cpu())
            scores = [scores for scores in gathered if scores is not None]
            device = torch.device("cpu") if own is None else own.device
            self._synced_tensors = [torch.cat(scores).to(device)] if scores else None
        self._synced = True

    def aggregate(self, reduction: MetricReduction | str | None = None) -> torch.Tensor:
        """Reduce the scores of all images seen since the last reset, in all processes.

        Args:
            reduction: how to reduce (see the class); None takes the one given to the metric.

        Returns:
            The reduced scores, on the device of the points and in their dtype (at least float32).

        Raises:
            ValueError: when no image was seen or ``reduction`` is none of those of the class.
        """
        dimensions = _AVERAGED_DIMENSIONS[self.reduction if reduction is None else self._supported(reduction)]
        scores = self.get_buffer()
        if scores is None:
            raise ValueError("there is nothing to aggregate: call the metric with points first.")
        return scores.nanmean(dimensions) if dimensions else scores  # an empty tuple would mean all of them
