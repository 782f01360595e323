"""A factor per landmark on its expected error: some landmarks are harder than the evidence tells."""

from __future__ import annotations

import numpy as np

#: As many images' worth of trust as the mean over all landmarks has against a landmark's own images.
PRIOR_IMAGES = 12
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
