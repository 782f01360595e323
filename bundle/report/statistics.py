"""The numbers behind the figures; what stands in ``metrics.json`` comes from there and is not computed again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def detection_curve(errors: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Percentage of points nearer to their truth than each radius (SDR).

    Args:
        errors: any shape; NaN counts nowhere, infinity as never detected.
        radii: (R,), in the unit of the errors.

    Returns:
        (R,), 0 to 100; NaN where there is no error.
    """
    known = np.sort(errors[~np.isnan(errors)])
    if not known.size:
        return np.full(len(radii), np.nan)
    return 100.0 * np.searchsorted(known, radii, side="left") / known.size


@dataclass(frozen=True)
class BoxSummary:
    """A sample as a box plot shows it (Tukey's).

    Attributes:
        low: the lowest value within 1.5 box lengths of the box.
        first: lower quartile.
        median: the median.
        third: upper quartile.
        high: the highest value within 1.5 box lengths of the box.
        mean: the mean.
        outliers: all values beyond ``low`` and ``high``.
        count: how many values there are.
        lost: how many more are infinite, which stands for a landmark that was not found.
    """

    low: float
    first: float
    median: float
    third: float
    high: float
    mean: float
    outliers: np.ndarray
    count: int
    lost: int = 0


def box_summary(values: np.ndarray) -> BoxSummary | None:
    """The box of a sample; NaN counts nowhere; None where there is no finite value."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return None
    first, median, third = (float(v) for v in np.percentile(finite, [25, 50, 75]))
    reach = 1.5 * (third - first)
    inner = finite[(finite >= first - reach) & (finite <= third + reach)]
    low, high = float(inner.min()), float(inner.max())
    outliers = np.sort(finite[(finite < low) | (finite > high)])
    return BoxSummary(
        low, first, median, third, high, float(finite.mean()), outliers, int(finite.size), int(np.isinf(values).sum())
    )


@dataclass(frozen=True)
class RiskCoverage:
    """Mean error of what is kept when the least sure points are left out.

    Attributes:
        coverage: (K,), the share that is kept, above 0 up to 1.
        risk: (K,), mean error of the points kept, surest first.
        ideal: (K,), the same if the points were left out by their true error, largest first.
        area: mean of ``risk`` over all coverages (AURC).
    """

    coverage: np.ndarray
    risk: np.ndarray
    ideal: np.ndarray
    area: float


def risk_coverage(errors: np.ndarray, confidence: np.ndarray) -> RiskCoverage | None:
    """The risk-coverage curve of points.

    Points of equal confidence are kept or left out together, so that their order does not matter: between two levels
    the curve is that of their expectation.

    Args:
        errors: any shape; points that are not finite count nowhere.
        confidence: the same shape; NaN counts as the least sure.

    Returns:
        The curve; None where there is no error.
    """
    known = np.isfinite(errors)
    error, sure = errors[known], np.nan_to_num(confidence[known], nan=-np.inf)
    if not error.size:
        return None
    order = np.argsort(-sure, kind="stable")
    error, sure = error[order], sure[order]
    # within a group of ties each point stands for their mean
    _, group, sizes = np.unique(-sure, return_inverse=True, return_counts=True)
    means = np.bincount(group, weights=error) / sizes
    counts = np.arange(1, error.size + 1)
    risk = np.cumsum(means[group]) / counts
    ideal = np.cumsum(np.sort(error)) / counts
    return RiskCoverage(counts / error.size, risk, ideal, float(risk.mean()))


@dataclass(frozen=True)
class Bin:
    """Points of about the same prediction.

    Attributes:
        predicted: mean of what was predicted of them.
        low: the lowest prediction.
        high: the highest prediction.
        mean: their mean true error.
        median: their median true error.
        count: how many they are.
    """

    predicted: float
    low: float
    high: float
    mean: float
    median: float
    count: int


def bins_of_equal_count(predicted: np.ndarray, errors: np.ndarray, bins: int = 10) -> list[Bin]:
    """Sort points by a prediction and sum up their true errors in groups of about the same size.

    Args:
        predicted: any shape, such as a confidence or an expected error.
        errors: the same shape; points where one of the two is not finite count nowhere.
        bins: how many groups at most; each has at least five points where there are five.

    Returns:
        The groups, lowest prediction first.
    """
    known = np.isfinite(predicted) & np.isfinite(errors)
    guess, error = predicted[known], errors[known]
    if not guess.size:
        return []
    order = np.argsort(guess, kind="stable")
    parts = np.array_split(order, max(1, min(bins, guess.size // 5)))
    return [
        Bin(
            float(guess[part].mean()),
            float(guess[part].min()),
            float(guess[part].max()),
            float(error[part].mean()),
            float(np.median(error[part])),
            len(part),
        )
        for part in parts
    ]


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float | None:
    """Spearman's correlation of two samples where both are finite; None for fewer than three points or no spread."""
    known = np.isfinite(one) & np.isfinite(other)
    if known.sum() < 3 or np.ptp(one[known]) == 0 or np.ptp(other[known]) == 0:
        return None
    return float(np.corrcoef(_ranks(one[known]), _ranks(other[known]))[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    """Places in the order of values, (K,); equal values share the mean of their places.

    SciPy has this, but to load its statistics takes longer than to write a report.
    """
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(sizes) - (sizes - 1) / 2)[group]
