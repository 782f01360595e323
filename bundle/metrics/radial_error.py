"""How far landmarks are from their truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce

import numpy as np
import torch

from bundle.metrics.error_summary import LandmarkErrors
from bundle.records.landmarks import outside_image, truth_inside
from bundle.records.prediction import LandmarkPrediction


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
