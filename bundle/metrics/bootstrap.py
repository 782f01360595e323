"""Bootstrap intervals over images (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3).

The landmarks of one image are not independent, so whole images are drawn.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats

from bundle.errors import ConfigError

#: Draws of the bootstrap.
RESAMPLES = 2000
#: Share of the resamples within an interval.
LEVEL = 0.95


def bootstrap_mean(scores: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The interval of the mean over all points, for several scores of the same points.

    Args:
        scores: (K, M, N), K scores of N points in M images, such as errors, or 100 and 0 for a rate; NaN where there is
            none, which is the same for all K.
        resamples: number of resamples.
        seed: seed of the draws.

    Returns:
        (K, 2) bounds, NaN for fewer than two images with a point; and (K, resamples) means.

    Raises:
        ConfigError: when there is not at least one resample.
    """
    known = ~np.isnan(scores)
    measured = known.any(axis=(0, 2))
    sums, counts = np.where(known, scores, 0.0).sum(axis=2), known.sum(axis=2)
    return _bootstrap(
        (sums[:, measured], counts[:, measured]),
        lambda total, count, axis: total.sum(axis) / count.sum(axis),
        resamples,
        seed,
    )


def bootstrap_median(errors: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """The interval of the median over all points, (2,); ``errors`` is (M, N), else as :func:`bootstrap_mean`."""
    measured = errors[~np.isnan(errors).all(axis=1)]
    places = np.arange(len(measured))[None]
    return _bootstrap((places,), lambda i, axis: np.nanmedian(measured[i], axis=(-2, -1)), resamples, seed)[0][0]


def _bootstrap(
    data: tuple[np.ndarray, ...], statistic: Callable[..., Any], resamples: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    if resamples < 1:
        raise ConfigError(f"resamples is {resamples}, expected at least one: 2000 are usual.")
    kinds, images = data[0].shape
    if images < 2:
        return np.full((kinds, 2), np.nan), np.full((kinds, resamples), np.nan)
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore")  # a landmark that was not found is infinite, and so is what it takes part in
        found = stats.bootstrap(
            data,
            statistic,
            paired=True,
            vectorized=True,
            axis=-1,
            method="percentile",
            n_resamples=resamples,
            confidence_level=LEVEL,
            batch=max(1, 2_000_000 // (kinds * images)),
            rng=seed,
        )
    return np.stack(found.confidence_interval, axis=-1), found.bootstrap_distribution
