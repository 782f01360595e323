"""Uniform frames around a radiograph, such as collimation leaves and exports add."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

_MIN_SHARE = 0.02  # of the side; thinner strips, such as the edge of a film, are part of the image
_MIN_INSIDE = 0.2  # of each side: what a frame must leave, or it is no frame
_TOLERANCE = 0.012  # of the range of values: what compression makes of one value
_UNIFORM = 0.99  # share of a row that has the frame's value
_BLOCK = 8  # pixels beside a strip into which JPEG smears its edge
_SAMPLES = 512  # pixels of a row or column that are looked at


class Frame(NamedTuple):
    """A frame of uniform strips along the borders of an image.

    Attributes:
        rows: the rows inside the frame.
        columns: the columns inside the frame.
        values: the value of each strip.
    """

    rows: slice
    columns: slice
    values: tuple[float, ...]


def uniform_frame(values: np.ndarray) -> Frame | None:
    """Find the frame around an image, black, white or grey.

    From each border, rows and columns are taken as long as they hold one value, the same for all of that side. A
    side counts where its strip is at least 2 % of the image's side; sides may have different values. What is inside
    has at least a fifth of each side.

    Args:
        values: array of shape (H, W).

    Returns:
        The frame, or None where there is none. Eight pixels beside each strip count as frame too, for JPEG smears the
        edge over so many.
    """
    height, width = values.shape
    tolerance = _TOLERANCE * _range(values)
    top, bottom, left, right = 0, height, 0, width
    found: list[float] = []
    while True:  # a white strip beside a black one ends where the other begins, so each opens the way for the next
        before = top, bottom, left, right
        top += _strip(values[top:bottom, left:right], tolerance, height, found)
        bottom -= _strip(values[top:bottom, left:right][::-1], tolerance, height, found)
        left += _strip(values[top:bottom, left:right].T, tolerance, width, found)
        right -= _strip(values[top:bottom, left:right].T[::-1], tolerance, width, found)
        if bottom - top < _MIN_INSIDE * height or right - left < _MIN_INSIDE * width:
            return None
        if before == (top, bottom, left, right):
            return Frame(slice(top, bottom), slice(left, right), tuple(found)) if found else None


def _range(values: np.ndarray) -> float:
    """Without single outliers; a frame is wider than half a per cent, so its value is within."""
    step = max(1, math.ceil(math.sqrt(values.size / _SAMPLES**2)))
    sample = values[::step, ::step]
    sample = sample[np.isfinite(sample)]
    low, high = np.percentile(sample, (0.5, 99.5)) if sample.size else (0.0, 0.0)
    return float(high) - float(low)


def _strip(lines: np.ndarray, tolerance: float, side: int, found: list[float]) -> int:
    """How many lines from the first on hold one value, which is noted; 0 where they are too few for a frame."""
    if not lines.size:
        return 0
    step = max(1, math.ceil(lines.shape[1] / _SAMPLES))
    value = float(np.median(lines[0, ::step]))
    if not math.isfinite(value):
        return 0
    count = 0
    for line in lines:
        if np.mean(np.abs(line[::step].astype(np.float64) - value) <= tolerance) < _UNIFORM:
            break
        count += 1
    if count < _MIN_SHARE * side:
        return 0
    found.append(value)
    return min(count + _BLOCK, len(lines))
