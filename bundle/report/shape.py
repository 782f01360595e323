"""All images laid over the template: their mean shape, and what is left between prediction and truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bundle.report.records import ReportCase


@dataclass(frozen=True)
class AlignedShapes:
    """The landmarks of all images in the frame of the template.

    Attributes:
        mean: (N, 2), the mean shape, ``(x, y)`` in pixels of the template; NaN for a landmark that no image has.
        vectors: (M, N, 2), from the reference to the landmark found, turned and scaled as the image is; the reference
            is the truth, or the mean shape where there is no truth. NaN where unknown.
    """

    mean: np.ndarray
    vectors: np.ndarray


def similarity(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The turn, scale and shift that bring points nearest to others (least squares; Umeyama, PAMI 1991).

    Args:
        source: (N, 2), ``(x, y)``; NaN where missing.
        target: (N, 2), the same.

    Returns:
        ``(matrix, shift)`` with ``matrix @ point + shift``, no mirroring; None for fewer than two common points.
    """
    common = np.isfinite(source).all(axis=1) & np.isfinite(target).all(axis=1)
    a, b = source[common], target[common]
    if len(a) < 2:
        return None
    mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
    # A plane turn with scale is a complex factor.
    from_a, from_b = (a - mean_a) @ (1, 1j), (b - mean_b) @ (1, 1j)
    length = float(np.vdot(from_a, from_a).real)
    if length <= 0:
        return None
    factor = np.vdot(from_a, from_b) / length
    matrix = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return matrix, mean_b - matrix @ mean_a


def align(cases: Sequence[ReportCase], reference: np.ndarray) -> AlignedShapes:
    """Lay all images over the template by their true landmarks, or by those found where there is no truth.

    Args:
        cases: M images.
        reference: (N, 2), the template's landmarks ``(x, y)`` in its pixels.
    """
    laid = np.full((len(cases), len(reference), 2), np.nan)
    found = np.full_like(laid, np.nan)
    for index, case in enumerate(cases):
        # Pixels that are not square are made so first, or a turn would not be one.
        stretch = np.ones(2) if case.spacing is None else np.asarray(case.spacing) / case.mm_a_pixel
        anchor = (case.points if case.truth is None else case.truth) * stretch
        way = similarity(anchor, reference)
        if way is None:
            continue
        matrix, shift = way
        laid[index] = anchor @ matrix.T + shift
        found[index] = (case.points * stretch) @ matrix.T + shift
    known = np.isfinite(laid).all(axis=2)
    counts = known.sum(axis=0)
    sums = np.where(known[..., None], laid, 0.0).sum(axis=0)
    mean = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], np.nan)
    truths = np.array([case.truth is not None for case in cases], dtype=bool).reshape(-1, 1, 1)
    return AlignedShapes(mean, found - np.where(truths, laid, mean))
