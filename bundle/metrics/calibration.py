"""What an expected error or a confidence is worth, and the factors that make an expected error right."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

#: As many images' worth of trust as the mean over all landmarks has against a landmark's own images.
PRIOR_IMAGES = 20
#: A calibration on fewer images says as much about chance as about landmarks.
FEW_IMAGES = 20


def error_factors(errors: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """By how much the expected error of each landmark is to be multiplied.

    The sum of a landmark's errors over the sum of what was expected of them, drawn towards the same ratio of all
    landmarks as if :data:`PRIOR_IMAGES` more images had shown the latter. It is a ratio of sums, not a mean of ratios,
    because the factor shall make the *mean* error right, and a few points with a tiny expectation shall not decide it.

    Args:
        errors: (M, N), distances between the points of M images and their truth; NaN where either is missing.
        expected: (M, N), expected errors in the same unit.

    Returns:
        (N,), positive.

    Raises:
        ValueError: when no point has both.
    """
    known = comparable(errors, expected)
    if not known.any():
        raise ValueError("there is no point with a true and an expected error.")
    count = known.sum(axis=0)
    found = np.where(known, errors, 0.0).sum(axis=0)
    foreseen = np.where(known, expected, 0.0).sum(axis=0)
    overall = found.sum() / foreseen.sum()
    ratio = np.divide(found, foreseen, out=np.zeros_like(found), where=count > 0)
    # A landmark that was exact everywhere still keeps a part of what holds for all.
    return np.maximum((count * ratio + PRIOR_IMAGES * overall) / (count + PRIOR_IMAGES), 1e-3)


def comparable(errors: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Which points have a true error and an expected one by which it can be divided; the shape of both."""
    return np.isfinite(errors) & np.isfinite(expected) & (expected > 0)


def interval_factor(errors: np.ndarray, expected: np.ndarray, level: float) -> float:
    """Split conformal prediction: the factor within which a new point's error is, with probability ``level``.

    Args:
        errors: true errors of any shape; NaN where unknown.
        expected: expected errors of the same shape.
        level: probability, 0 to 1.

    Returns:
        the ``ceil((n + 1) level)``-th smallest ratio of true to expected error; infinite where n is too small.
    """
    known = comparable(errors, expected)
    ratio = np.sort(errors[known] / expected[known])
    rank = int(np.ceil((len(ratio) + 1) * level))
    return float(ratio[rank - 1]) if 1 <= rank <= len(ratio) else float("inf")


def cross_validated(
    errors: np.ndarray, expected: np.ndarray, *, folds: int = 5, level: float = 0.9
) -> tuple[np.ndarray, float]:
    """Calibrate on all folds of images but one, apply to that one, and look how well it fits there.

    Args:
        errors: (M, N), true errors; NaN where unknown.
        expected: (M, N), expected errors before calibration.
        folds: how many parts; at most one per image.
        level: probability of the conformal interval.

    Returns:
        (M, N), expected errors after a calibration on other images; and the share of the points within
        :func:`interval_factor` times their expected error.

    Raises:
        ValueError: when there are not at least two images.
    """
    if len(errors) < 2:
        raise ValueError("a calibration needs at least two images.")
    part = np.arange(len(errors)) % min(folds, len(errors))
    after = np.full_like(expected, np.nan)
    within: list[np.ndarray] = []
    for fold in range(part.max() + 1):
        rest, out = part != fold, part == fold
        factors = error_factors(errors[rest], expected[rest])
        after[out] = expected[out] * factors
        limit = interval_factor(errors[rest], expected[rest] * factors, level)
        known = np.isfinite(errors[out])
        within.append((errors[out] <= limit * after[out])[known])
    return after, float(np.concatenate(within).mean())


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
