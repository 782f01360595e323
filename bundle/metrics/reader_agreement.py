"""How well several readers agree, and how a method's error compares with their disagreement."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from bundle.metrics.radial_error import radial_error


@dataclass(frozen=True)
class ReaderAgreement:
    """Distances between K readers, each a tensor of shape (M, N), NaN where a reader or the spacing is missing.

    Attributes:
        to_mean: K tensors: each reader's distance to the mean of all.
        between: the distance of each pair of readers, by their numbers.
        disagreement: the mean of the distances of all pairs.
    """

    to_mean: tuple[Tensor, ...]
    between: dict[tuple[int, int], Tensor]
    disagreement: Tensor


def reader_agreement(points: Tensor, spacing: Tensor | None = None) -> ReaderAgreement:
    """Compare readers.

    Args:
        points: (K, M, N, 2), the points of K readers in M images, ``(x, y)`` in pixels; NaN where one gave none. A
            point counts only where every reader gave it.
        spacing: mm a pixel ``(x, y)`` of each image, (M, 2); None leaves the distances in pixels.

    Raises:
        ValueError: when there are fewer than two readers or the shapes are not those above.
    """
    if points.ndim != 4 or points.shape[-1] != 2 or len(points) < 2:
        raise ValueError(f"points: expected shape (K, M, N, 2) of at least two readers, got {tuple(points.shape)}.")
    given = points.isfinite().all(dim=-1).all(dim=0)
    points = points.masked_fill(~given[..., None], math.nan)
    mean = points.mean(dim=0)
    between = {(i, j): radial_error(points[i], points[j], spacing) for i, j in combinations(range(len(points)), 2)}
    return ReaderAgreement(
        tuple(radial_error(reader, mean, spacing) for reader in points),
        between,
        torch.stack(list(between.values())).mean(dim=0),
    )


@dataclass(frozen=True)
class ErrorAgainstReaders:
    """A method's errors beside the readers' disagreement on the same points.

    Attributes:
        points: points with both.
        mean_error: mean error of the method on them.
        mean_disagreement: mean distance between the readers on them.
        within_percent: percentage of points whose error is at most the distance between the readers.
        spearman: rank correlation of error and disagreement; NaN where one of them does not vary.
        landmark_spearman: the same for the means of each landmark.
        bins: by rising disagreement, as equal in number as can be: (largest disagreement, mean disagreement, mean
            error, points).
    """

    points: int
    mean_error: float
    mean_disagreement: float
    within_percent: float
    spearman: float
    landmark_spearman: float
    bins: list[tuple[float, float, float, int]]


def error_against_readers(errors: Tensor, disagreement: Tensor, bins: int = 5) -> ErrorAgainstReaders:
    """Set a method's errors against the readers' disagreement.

    Args:
        errors: (M, N), NaN where there is no truth.
        disagreement: (M, N), in the same unit, as :func:`reader_agreement` gives it.
        bins: groups of points by disagreement.

    Raises:
        ValueError: when the shapes differ or no point has both.
    """
    if errors.shape != disagreement.shape:
        raise ValueError(f"disagreement: expected shape {tuple(errors.shape)}, got {tuple(disagreement.shape)}.")
    error, apart = errors.double().cpu().numpy(), disagreement.double().cpu().numpy()
    both = np.isfinite(error) & np.isfinite(apart)
    if not both.any():
        raise ValueError("errors: expected points that the readers gave as well, got none.")
    known_error, known_apart = error[both], apart[both]
    columns = [index for index in range(error.shape[1]) if both[:, index].any()]
    by_landmark = [[float(values[both[:, index], index].mean()) for index in columns] for values in (error, apart)]
    order = np.argsort(known_apart, kind="stable")
    groups = [group for group in np.array_split(order, bins) if len(group)]
    return ErrorAgainstReaders(
        points=int(both.sum()),
        mean_error=float(known_error.mean()),
        mean_disagreement=float(known_apart.mean()),
        within_percent=100 * float(np.mean(known_error <= known_apart)),
        spearman=_spearman(known_error, known_apart),
        landmark_spearman=_spearman(*map(np.array, by_landmark)),
        bins=[
            (
                float(known_apart[group].max()),
                float(known_apart[group].mean()),
                float(known_error[group].mean()),
                len(group),
            )
            for group in groups
        ],
    )


def _spearman(first: np.ndarray, second: np.ndarray) -> float:
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan
    return float(stats.spearmanr(first, second).statistic)
