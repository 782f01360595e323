"""How good a calibration is on images that it has not seen."""

from __future__ import annotations

import numpy as np

from bundle.metrics.error_factors import comparable, error_factors


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
