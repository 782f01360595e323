"""Geometric verification: the map on which many of the matches agree."""

from typing import NamedTuple

import cv2
import numpy as np

from bundle.pose.affine import apply, distortion

#: Rounds of iteratively reweighted least squares after the random samples, at first with a wider tolerance.
ROUNDS, WIDE_ROUNDS = 10, 5
WIDE, NARROW = 2.0, 1.5
#: Samples at most; OpenCV draws them from a fixed seed of its own, so equal matches give an equal map.
SAMPLES = 2000
#: Beyond this distortion an affine map is one of wrong matches.
MOST_DISTORTED = 2.5


class Fit(NamedTuple):
    """A map and what speaks for it.

    Attributes:
        matrix: (3, 3).
        votes: the weights of the matches, each times how well it agrees.
    """

    matrix: np.ndarray
    votes: float


def fit_similarity(
    source: np.ndarray, target: np.ndarray, weights: np.ndarray, tolerance: float, mirrored: bool = False
) -> Fit | None:
    """The similarity on which matches agree: RANSAC (OpenCV), then Tukey's weights.

    Args:
        source: (N, 2) points.
        target: (N, 2) points that match them, many of them wrongly.
        weights: (N,), how much a match counts.
        tolerance: distance in units of the target beyond which a match does not agree.
        mirrored: whether the map mirrors.

    Returns:
        The map; None where there are too few matches.
    """
    mirror = np.diag([-1.0 if mirrored else 1.0, 1.0, 1.0])
    turned = apply(mirror, source)
    if len(source) < 3:
        return None
    first, _ = cv2.estimateAffinePartial2D(
        turned, target, method=cv2.RANSAC, ransacReprojThreshold=tolerance, maxIters=SAMPLES, refineIters=0
    )
    if first is None:
        return None
    matrix = (
        _reweighted(np.vstack([first, [0.0, 0.0, 1.0]]), turned, target, weights, tolerance, weighted_similarity)
        @ mirror
    )
    return Fit(matrix, float(agreement(matrix, source, target, tolerance) @ weights))


def fit_affine(start: np.ndarray, source: np.ndarray, target: np.ndarray, weights: np.ndarray, tolerance: float) -> Fit:
    """The affine map on which matches agree, near another one or RANSAC's; arguments as for :func:`fit_similarity`."""
    starts = [start]
    first, _ = cv2.estimateAffine2D(
        source, target, method=cv2.RANSAC, ransacReprojThreshold=tolerance, maxIters=SAMPLES, refineIters=0
    )
    if first is not None and distortion(first) < MOST_DISTORTED:
        starts.append(np.vstack([first, [0.0, 0.0, 1.0]]))
    ends = [_reweighted(one, source, target, weights, tolerance, _affine) for one in starts]
    fits = [Fit(end, float(agreement(end, source, target, tolerance) @ weights)) for end in ends]
    return max(fits, key=lambda fit: fit.votes)


def agreement(matrix: np.ndarray, source: np.ndarray, target: np.ndarray, tolerance: float) -> np.ndarray:
    """How well each match agrees with a map: (N,), 1 where exactly, 0 beyond the tolerance."""
    squared = np.square(apply(matrix, source) - target).sum(axis=1)
    return np.maximum(1 - squared / tolerance**2, 0)


def _reweighted(matrix, source, target, weights, tolerance, solve):  # type: ignore[no-untyped-def]
    for index in range(ROUNDS):
        reach = tolerance * (WIDE if index < WIDE_ROUNDS else NARROW)
        counts = weights * agreement(matrix, source, target, reach) ** 2
        if (counts > 0).sum() < 3:
            break
        matrix = solve(source, target, np.sqrt(counts / counts.sum()))
    return matrix


def weighted_similarity(source: np.ndarray, target: np.ndarray, root: np.ndarray) -> np.ndarray:
    """The similarity, (3, 3), with the least squares between (N, 2) points; ``root`` is of what each pair counts.

    Points that are all in one place are only shifted.
    """
    share = root**2 / (root**2).sum()
    here, there = source @ [1, 1j], target @ [1, 1j]  # a similarity is one complex factor and one shift
    around = here - share @ here
    extent = share @ np.abs(around) ** 2
    factor = share @ (around.conj() * there) / extent if extent > 1e-12 else 1.0
    shift = share @ there - factor * (share @ here)
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag], [0.0, 0.0, 1.0]])


def _affine(source: np.ndarray, target: np.ndarray, root: np.ndarray) -> np.ndarray:
    rows = np.column_stack([source, np.ones(len(source))])
    return np.vstack([np.linalg.lstsq(rows * root[:, None], target * root[:, None], rcond=None)[0].T, [0.0, 0.0, 1.0]])
