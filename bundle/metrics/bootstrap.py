"""Bootstrap intervals over images (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3).

The landmarks of one image are not independent, so whole images are drawn. How often each image is drawn is all that
counts: the mean of a resample is a product of matrices, hundreds of times as fast as a library that draws the data.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bundle.errors import ConfigError

#: Draws of the bootstrap.
RESAMPLES = 2000
#: Share of the resamples within an interval.
LEVEL = 0.95

_BATCH = 250


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
    known, lost = ~np.isnan(scores), np.isinf(scores)
    counts, losses = known.sum(axis=2).T, lost.sum(axis=2).T
    sums = np.where(known & ~lost, scores, 0.0).sum(axis=2).T
    with np.errstate(divide="ignore", invalid="ignore"):  # a score that none of the images drawn has
        means = [
            np.where(drawn @ losses > 0, np.inf, (drawn @ sums) / (drawn @ counts))
            for drawn in _draws(scores.shape[1], resamples, seed)
        ]
    found = np.concatenate(means).T
    found[(counts > 0).sum(axis=0) < 2] = np.nan
    return _bounds(found), found


def bootstrap_median(errors: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """The interval of the median over all points, (2,); ``errors`` is (M, N), else as :func:`bootstrap_mean`."""
    errors = errors[~np.isnan(errors).all(axis=1)]
    if len(errors) < 2:
        return np.full(2, np.nan)
    order = np.argsort(errors, axis=None)[: np.count_nonzero(~np.isnan(errors))]  # NaN comes last
    images, values = order // errors.shape[1], errors.ravel()[order]
    medians = []
    for drawn in (row for rows in _draws(len(errors), resamples, seed) for row in rows):
        places = np.cumsum(drawn[images])
        middle = np.searchsorted(places, [(places[-1] + 1) // 2, places[-1] // 2 + 1])
        medians.append(values[middle].mean())
    return _bounds(np.array(medians)[None])[0]


def _draws(images: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each image is drawn in each resample, (B, M), batch by batch."""
    if resamples < 1:
        raise ConfigError(f"resamples is {resamples}, expected at least one: 2000 are usual.")
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, _BATCH):
        size = min(_BATCH, resamples - start)
        shares = np.full(images, 1 / max(images, 1))
        yield rng.multinomial(images, shares, size).astype(float) if images else np.zeros((size, 0))


def _bounds(found: np.ndarray) -> np.ndarray:
    """The interval of each of K rows, (K, 2), one of the values each."""
    levels = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    none = np.isnan(found).all(axis=1)
    return np.where(none, np.nan, np.nanquantile(np.where(none[:, None], 0, found), levels, 1, method="inverted_cdf")).T
