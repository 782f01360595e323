"""Bootstrap intervals over images (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3).

The landmarks of one image are not independent, so whole images are drawn.
"""

import warnings
from collections.abc import Callable

import numpy as np

from bundle.errors import ConfigError

#: Draws of the bootstrap.
RESAMPLES = 2000
#: Share of the resamples within an interval.
LEVEL = 0.95

_BATCH = 25


def bootstrap_mean(scores: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The interval of the mean over all points, for several scores of the points of the same images.

    Args:
        scores: (K, M, N), K scores of N points in M images, such as errors, or 100 and 0 for a rate; NaN where there is
            none, infinite where a landmark was not found.
        resamples: number of resamples.
        seed: seed of the draws.

    Returns:
        (K, 2) bounds, NaN for fewer than two images with a point; and (K, resamples) means.

    Raises:
        ConfigError: when there is not at least one resample.
    """
    scores = scores[:, ~np.isnan(scores).all(axis=(0, 2))]
    counts = np.count_nonzero(~np.isnan(scores), axis=2)

    def mean(sums: np.ndarray, counts: np.ndarray, axis: int) -> np.ndarray:
        return sums.sum(axis) / counts.sum(axis)

    found = _resampled(mean, resamples, seed, np.nansum(scores, axis=2), counts)
    found[np.count_nonzero(counts, axis=1) < 2] = np.nan
    return _bounds(found), found


def bootstrap_median(errors: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """The interval of the median over all points, (2,); ``errors`` is (M, N), else as :func:`bootstrap_mean`."""
    errors = errors[~np.isnan(errors).all(axis=1)]

    def median(images: np.ndarray, axis: int) -> np.ndarray:
        return np.nanmedian(errors[images], axis=(-2, -1))

    return _bounds(_resampled(median, resamples, seed, np.arange(len(errors))[None]))[0]


def _resampled(statistic: Callable[..., np.ndarray], resamples: int, seed: int, *images: np.ndarray) -> np.ndarray:
    """A statistic of K rows of what is known of M images, (K, M), in each resample of the images, (K, resamples)."""
    if resamples < 1:
        raise ConfigError(f"resamples is {resamples}, expected at least one: 2000 are usual.")
    rows, count = images[0].shape
    if count < 2:
        return np.full((rows, resamples), np.nan)
    from scipy import stats  # takes half a second, which pages that show no interval do without

    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        # A score that none of the images drawn has is NaN; of scipy's own interval, which it warns of, nothing is used.
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        drawn = stats.bootstrap(
            images,
            statistic,
            paired=True,
            n_resamples=resamples,
            batch=_BATCH,
            vectorized=True,
            axis=-1,
            method="percentile",
            rng=seed,
        )
    return drawn.bootstrap_distribution


def _bounds(found: np.ndarray) -> np.ndarray:
    """The interval of each of K rows, (K, 2), one of the values each, for between infinite ones there is none."""
    levels = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    none = np.isnan(found).all(axis=1)
    return np.where(none, np.nan, np.nanquantile(np.where(none[:, None], 0, found), levels, 1, method="inverted_cdf")).T
