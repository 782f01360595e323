"""Uniform frames around a radiograph, such as collimation leaves and exports add."""

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
    tolerance = _TOLERANCE * _range(values)
    bounds = np.array([[0, values.shape[0]], [0, values.shape[1]]])  # first and last, of rows and of columns
    found: list[float] = []
    while True:  # a white strip beside a black one ends where the other begins, so each opens the way for the next
        before = bounds.copy()
        for axis, end in ((0, 0), (0, 1), (1, 0), (1, 1)):
            inside = values[slice(*bounds[0]), slice(*bounds[1])]
            lines = (inside if axis == 0 else inside.T)[:: -1 if end else 1]
            bounds[axis, end] += (-1 if end else 1) * _strip(lines, tolerance, values.shape[axis], found)
        if (np.diff(bounds)[:, 0] < _MIN_INSIDE * np.array(values.shape)).any():
            return None
        if (before == bounds).all():
            return Frame(slice(*bounds[0].tolist()), slice(*bounds[1].tolist()), tuple(found)) if found else None


def _range(values: np.ndarray) -> float:
    """Without single outliers; a frame is wider than half a per cent, so its value is within."""
    step = max(1, math.ceil(math.sqrt(values.size / _SAMPLES**2)))
    sample = values[::step, ::step]
    sample = sample[np.isfinite(sample)]
    return float(np.ptp(np.percentile(sample, (0.5, 99.5)))) if sample.size else 0.0


def _strip(lines: np.ndarray, tolerance: float, side: int, found: list[float]) -> int:
    """How many lines from the first on hold one value, which is noted; 0 where they are too few for a frame."""
    if not lines.size:
        return 0
    step = max(1, math.ceil(lines.shape[1] / _SAMPLES))
    value = float(np.median(lines[0, ::step]))
    count = 0
    for line in lines:
        if not np.mean(np.abs(line[::step].astype(np.float64) - value) <= tolerance) >= _UNIFORM:
            break
        count += 1
    if count < _MIN_SHARE * side:
        return 0
    found.append(value)
    return min(count + _BLOCK, len(lines))
