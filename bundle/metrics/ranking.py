"""What a confidence or an expected error is worth: how well it tells large errors from small ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class RiskCoverage:
    """Mean error of what is kept when the least sure points are left out.

    Attributes:
        coverage: (K,), the share that is kept, above 0 up to 1.
        risk: (K,), mean error of the points kept, surest first.
        ideal: (K,), the same if the points were left out by their true error, largest first.
    """

    coverage: np.ndarray
    risk: np.ndarray
    ideal: np.ndarray

    @property
    def area(self) -> float:
        """Mean of ``risk`` over all coverages (AURC)."""
        return float(self.risk.mean())

    def place(self, share: float) -> int:
        """Where in the arrays a share of all points is kept, of at least one point."""
        return max(1, round(share * len(self.risk))) - 1


def risk_coverage(errors: np.ndarray, confidence: np.ndarray) -> RiskCoverage | None:
    """The risk-coverage curve of points.

    Points of equal confidence are kept or left out together, so that their order does not matter: between two levels
    the curve is that of their expectation.

    Args:
        errors: any shape; points that are not finite count nowhere.
        confidence: the same shape, such as the negative of an expected error; NaN counts as the least sure.

    Returns:
        The curve; None where there is no error.
    """
    known = np.isfinite(errors)
    error, sure = errors[known], np.nan_to_num(confidence[known], nan=-np.inf)
    if not error.size:
        return None
    _, group, sizes = np.unique(-sure, return_inverse=True, return_counts=True)
    means = np.bincount(group, weights=error) / sizes
    counts = np.arange(1, error.size + 1)
    return RiskCoverage(
        counts / error.size, np.cumsum(np.repeat(means, sizes)) / counts, np.cumsum(np.sort(error)) / counts
    )


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
    order = np.argsort(predicted[known], kind="stable")
    guess, error = predicted[known][order], errors[known][order]
    parts = np.array_split(np.arange(len(order)), max(1, min(bins, len(order) // 5)))
    return [
        Bin(guess[p].mean(), guess[p[0]], guess[p[-1]], error[p].mean(), float(np.median(error[p])), len(p))
        for p in parts
        if len(p)
    ]


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's correlation of two samples where both are finite; NaN for fewer than three points or no spread."""
    known = np.isfinite(one) & np.isfinite(other)
    if known.sum() < 3 or np.ptp(one[known]) == 0 or np.ptp(other[known]) == 0:
        return float("nan")
    return float(stats.spearmanr(one[known], other[known]).statistic)
