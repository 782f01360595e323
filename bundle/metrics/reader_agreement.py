"""How well several readers agree, and how a method's error compares with their disagreement."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch

from bundle.metrics.radial_error import radial_error
from bundle.metrics.ranking import Bin, bins_of_equal_count, rank_correlation


@dataclass(frozen=True)
class ReaderAgreement:
    """Distances between K readers, each of shape (M, N), NaN where a reader or the spacing is missing.

    Attributes:
        to_mean: K arrays: each reader's distance to the mean of all.
        between: the distance of each pair of readers, by their numbers.
        disagreement: the mean of the distances of all pairs.
    """

    to_mean: tuple[np.ndarray, ...]
    between: dict[tuple[int, int], np.ndarray]
    disagreement: np.ndarray


def reader_agreement(points: np.ndarray, spacing: np.ndarray | None = None) -> ReaderAgreement:
    """Compare readers.

    Args:
        points: (K, M, N, 2), the points of K readers in M images, ``(x, y)`` in pixels; NaN where one gave none. A
            point counts only where every reader gave it.
        spacing: mm per pixel ``(x, y)`` of each image, (M, 2); None leaves the distances in pixels.

    Raises:
        ValueError: when there are fewer than two readers or the shapes are not those above.
    """
    if points.ndim != 4 or points.shape[-1] != 2 or len(points) < 2:
        raise ValueError(f"points: expected shape (K, M, N, 2) of at least two readers, got {points.shape}.")
    mean = points.mean(axis=0)  # NaN where a reader is missing
    readers = torch.from_numpy(np.where(np.isnan(mean), np.nan, points))
    steps = None if spacing is None else torch.from_numpy(spacing)

    def distance(one: torch.Tensor, other: torch.Tensor) -> np.ndarray:
        return radial_error(one, other, steps).numpy()

    between = {(i, j): distance(readers[i], readers[j]) for i, j in combinations(range(len(readers)), 2)}
    to_mean = tuple(distance(reader, torch.from_numpy(mean)) for reader in readers)
    return ReaderAgreement(to_mean, between, np.mean(list(between.values()), axis=0))


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
        bins: by rising disagreement, which is what "predicts" the error, as equal in number as can be.
    """

    points: int
    mean_error: float
    mean_disagreement: float
    within_percent: float
    spearman: float
    landmark_spearman: float
    bins: list[Bin]


def error_against_readers(errors: np.ndarray, disagreement: np.ndarray, bins: int = 5) -> ErrorAgainstReaders:
    """Set a method's errors against the readers' disagreement.

    Args:
        errors: (M, N), NaN where there is no truth.
        disagreement: (M, N), in the same unit, as :func:`reader_agreement` gives it.
        bins: groups of points by disagreement.

    Raises:
        ValueError: when the shapes differ or no point has both.
    """
    if errors.shape != disagreement.shape:
        raise ValueError(f"disagreement: expected shape {errors.shape}, got {disagreement.shape}.")
    both = np.isfinite(errors) & np.isfinite(disagreement)
    if not both.any():
        raise ValueError("errors: expected points that the readers gave as well, got none.")
    columns = np.flatnonzero(both.any(axis=0))
    means = [np.mean(values[:, columns], axis=0, where=both[:, columns]) for values in (errors, disagreement)]
    return ErrorAgainstReaders(
        points=int(both.sum()),
        mean_error=float(errors[both].mean()),
        mean_disagreement=float(disagreement[both].mean()),
        within_percent=100 * float(np.mean(errors[both] <= disagreement[both])),
        spearman=rank_correlation(errors, disagreement),
        landmark_spearman=rank_correlation(*means),
        bins=bins_of_equal_count(disagreement, errors, bins),
    )
