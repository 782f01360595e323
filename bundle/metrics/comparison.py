"""Whether one run is better than another (bootstrap, Wilcoxon's test, effect sizes), and how well readers agree."""

import math
from itertools import combinations
from typing import Any

import numpy as np
from scipy import stats

from bundle.errors import ConfigError
from bundle.metrics.calibration import bins_of_equal_count, rank_correlation
from bundle.metrics.error_summary import RESAMPLES, bootstrap_mean


def compare_errors(first: np.ndarray, second: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Any]:
    """Compare two runs.

    Only points that both runs measured count. An image stands for its mean error over these points in the tests,
    because the landmarks of one image are not independent; the bootstrap draws images and pools their points.

    Args:
        first: errors of shape (M, N), NaN where there is no truth.
        second: errors of the same points.
        resamples: draws of the bootstrap.
        seed: seed of the draws.

    Returns:
        By name; differences are second minus first, so that less than zero is better:

        - ``images`` with a point that both runs measured, and such ``points``;
        - ``first`` and ``second``, the mean error of each run over these points, and their ``difference``;
        - ``interval`` of the difference, 95 %, by bootstrap with images drawn in pairs; NaN for one image;
        - ``bootstrap_p``, two-sided: twice the share of resamples on the other side of zero; NaN for one image;
        - ``wilcoxon_p`` and ``rank_biserial``, see :func:`signed_rank`, of the images' mean errors;
        - ``cohens_d``, mean difference of the images over its standard deviation (divided by the number less one);
        - ``better_images``, percentage of images in which the second run's mean error is the smaller one.

    Raises:
        ConfigError: when the runs have no point in common, or a landmark was not found, which has no mean error.
        ValueError: when the shapes differ.
    """
    if first.shape != second.shape or first.ndim != 2:
        raise ValueError(f"second: expected the shape of first, {first.shape}, got {second.shape}.")
    both = ~(np.isnan(first) | np.isnan(second))
    if not both.any():
        raise ConfigError("the two runs have no point in common: compare runs on the same images and landmarks.")
    if np.isinf(first[both]).any() or np.isinf(second[both]).any():
        raise ConfigError("a landmark that was not found has no error to average: leave its image out of both runs.")
    change = (second - first)[both.any(axis=1)]
    interval, resampled = bootstrap_mean(change[None], resamples, seed)
    other_side = min((resampled <= 0).sum(), (resampled >= 0).sum())
    by_image = np.nanmean(change, axis=1)
    wilcoxon_p, rank_biserial = signed_rank(by_image)
    return {
        "images": len(by_image),
        "points": int(both.sum()),
        "first": float(first[both].mean()),
        "second": float(second[both].mean()),
        "difference": float(np.nanmean(change)),
        "interval": (float(interval[0, 0]), float(interval[0, 1])),
        "bootstrap_p": min(1.0, 2 * (other_side + 1) / (resamples + 1)) if len(by_image) > 1 else math.nan,
        "wilcoxon_p": wilcoxon_p,
        "rank_biserial": rank_biserial,
        "cohens_d": cohens_d(by_image),
        "better_images": 100 * float(np.mean(by_image < 0)),
    }


def signed_rank(differences: np.ndarray) -> tuple[float, float]:
    """Wilcoxon's signed-rank test, zeros left out; NaN where all differences are zero.

    Returns:
        The two-sided p value, and the matched-pairs rank-biserial correlation (Kerby 2014), from -1 (all differences
        are negative) to 1: (R+ - R-) / (R+ + R-).
    """
    changed = differences[differences != 0]
    if not len(changed):
        return math.nan, math.nan
    positive = stats.wilcoxon(changed, alternative="greater").statistic
    return float(stats.wilcoxon(changed).pvalue), float(4 * positive / (len(changed) * (len(changed) + 1)) - 1)


def cohens_d(differences: np.ndarray) -> float:
    """Mean of the differences over their standard deviation; NaN of fewer than two, or where all are equal."""
    if len(differences) < 2:
        return math.nan
    deviation = differences.std(ddof=1)
    return float(differences.mean() / deviation) if deviation > 0 else math.nan


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's correction for many tests (Holm 1979); NaN stays NaN and counts for nothing.

    Args:
        p_values: of shape (N,).
    """
    adjusted = np.full(len(p_values), np.nan)
    known = np.flatnonzero(~np.isnan(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    if len(order):
        scaled = p_values[order] * (len(order) - np.arange(len(order)))
        adjusted[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return adjusted


def compare_landmarks(first: np.ndarray, second: np.ndarray) -> list[tuple[float, float]]:
    """For each landmark the mean difference (second minus first) and Wilcoxon's p value after Holm's correction.

    Args:
        first: errors of shape (M, N), NaN where there is no truth.
        second: errors of the same points.
    """
    known = [column[np.isfinite(column)] for column in (second - first).T]
    means = [float(column.mean()) if len(column) else math.nan for column in known]
    return list(zip(means, holm(np.array([signed_rank(column)[0] for column in known])).tolist()))


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
    points = np.where(np.isnan(points).any(axis=0), np.nan, points)
    steps = 1.0 if spacing is None else spacing[:, None]
    between = {
        (i, j): np.linalg.norm((points[i] - points[j]) * steps, axis=-1) for i, j in combinations(range(len(points)), 2)
    }
    return [np.linalg.norm(own, axis=-1) for own in (points - points.mean(axis=0)) * steps], between


def error_against_readers(errors: np.ndarray, disagreement: np.ndarray) -> dict[str, Any]:
    """Set a method's errors against the readers' disagreement.

    Args:
        errors: (M, N), NaN where there is no truth.
        disagreement: (M, N), in the same unit, the mean distance of the pairs of readers.

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
        "bins": bins_of_equal_count(disagreement, errors, bins=5),
    }
