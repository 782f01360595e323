"""A factor a landmark on its expected error: some landmarks are harder than the evidence tells."""

from __future__ import annotations

import numpy as np

#: As many images' worth of trust as the mean over all landmarks has against a landmark's own images.
PRIOR_IMAGES = 6


def error_factors(errors: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """By how much the expected error of each landmark is to be multiplied.

    The mean ratio of true to expected error of a landmark, drawn towards that of all landmarks as if
    :data:`PRIOR_IMAGES` more images had shown the latter.

    Args:
        errors: (M, N), distances between the points of M images and their truth; NaN where either is missing.
        expected: (M, N), expected errors in the same unit.

    Returns:
        (N,), positive.

    Raises:
        ValueError: when no point has both.
    """
    ratio = np.where(np.isfinite(errors) & (expected > 0), errors / expected, np.nan)
    known = np.isfinite(ratio)
    if not known.any():
        raise ValueError("there is no point with a true and an expected error.")
    overall = float(ratio[known].mean())
    count = known.sum(axis=0)
    total = np.where(known, ratio, 0.0).sum(axis=0)
    # A landmark that was exact everywhere still keeps a part of what holds for all.
    return np.maximum((total + PRIOR_IMAGES * overall) / (count + PRIOR_IMAGES), 1e-3)
