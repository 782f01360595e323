"""How well several readers agree, and how a method's error compares with their disagreement."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import torch

from bundle.metrics.calibration import bins_of_equal_count, rank_correlation
from bundle.metrics.landmark_metrics import radial_error


def reader_agreement(
    points: np.ndarray, spacing: np.ndarray | None = None
) -> tuple[list[np.ndarray], dict[tuple[int, int], np.ndarray]]:
    """Compare readers.

    Args:
        points: (K, M, N, 2), the points of K readers in M images, ``(x, y)`` in pixels; NaN where one gave none. A
            point counts only where every reader gave it.
        spacing: mm per pixel ``(x, y)`` of each image, (M, 2); None leaves the distances in pixels.

    Returns:
        Distances of shape (M, N), NaN where a reader or the spacing is missing: of each reader to the mean of all, and
        of each pair of readers, by their numbers.

    Raises:
        ValueError: when there are fewer than two readers or the shapes are not those above.
    """
    if points.ndim != 4 or points.shape[-1] != 2 or len(points) < 2:
        raise ValueError(f"points: expected shape (K, M, N, 2) of at least two readers, got {points.shape}.")
    mean = points.mean(axis=0)  # NaN where a reader is missing
    steps = None if spacing is None else torch.from_numpy(spacing)

    def distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        known = torch.from_numpy(np.where(np.isnan(mean), np.nan, other))
        return radial_error(torch.from_numpy(one), known, steps).numpy()

    between = {(i, j): distance(points[i], points[j]) for i, j in combinations(range(len(points)), 2)}
    return [distance(reader, mean) for reader in points], between


def error_against_readers(errors: np.ndarray, disagreement: np.ndarray, bins: int = 5) -> dict[str, Any]:
    """Set a method's errors against the readers' disagreement.

    Args:
        errors: (M, N), NaN where there is no truth.
        disagreement: (M, N), in the same unit, the mean distance of the pairs of readers.
        bins: groups of points by disagreement.

    Returns:
        By name: ``points`` with both; ``mean_error`` and ``mean_disagreement`` on them; ``within_percent``, the
        percentage of points whose error is at most the distance between the readers; ``spearman``, the rank correlation
        of error and disagreement, NaN where one of them does not vary, and ``landmark_spearman``, the same for the
        means of each landmark; ``bins`` by rising disagreement, which is what "predicts" the error.

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
    return {
        "points": int(both.sum()),
        "mean_error": float(errors[both].mean()),
        "mean_disagreement": float(disagreement[both].mean()),
        "within_percent": 100 * float(np.mean(errors[both] <= disagreement[both])),
        "spearman": rank_correlation(errors, disagreement),
        "landmark_spearman": rank_correlation(*means),
        "bins": bins_of_equal_count(disagreement, errors, bins),
    }
