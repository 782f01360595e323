"""Grey values to 0..1, bone bright: by robust percentiles without uniform frames, or as they are in 8 bits."""

import math
from pathlib import Path
from typing import NamedTuple, get_args

import cv2
import numpy as np

from bundle.errors import ConfigError, ImageError
from bundle.records.radiograph import GreyValues

PERCENTILES = (0.5, 99.5)
_HARMLESS = 0.05  # of the range inside: a frame so close to it, such as air of the same black, is like the image
_SAMPLES = 2**18  # the percentiles are taken from every n-th row and column, of about this many pixels

# Of frames, such as collimation leaves and exports add:
_MIN_SHARE = 0.02  # of the side; thinner strips, such as the edge of a film, are part of the image
_MIN_INSIDE = 0.2  # of each side: what a frame must leave, or it is no frame
_FRAME_TOLERANCE = 0.012  # of the range of values: what compression makes of one value
_UNIFORM = 0.99  # share of a row that has the frame's value
_BLOCK = 8  # pixels beside a strip into which JPEG smears its edge
_LINE_SAMPLES = 512  # pixels of a row or column that are looked at


def scale_to_unit(
    values: np.ndarray,
    path: Path,
    *,
    ignored: np.ndarray | None = None,
    invert: bool = False,
    grey_values: str = "stretch",
) -> np.ndarray:
    """Map grey values linearly so that the 0.5 and 99.5 percentiles become 0 and 1, and clip.

    With ``"eight_bit"``, values of 8 bits are divided by 255 instead, and all others rounded to 8 bits after that.

    The percentiles come from a regular grid of about 260 000 pixels, so the same pixels always give the same result,
    whatever the file format. Where the two percentiles are equal (a mostly empty image) the lowest and the highest
    value are used.

    Args:
        values: array of shape (H, W), integers or reals; pixels that are not finite are ignored.
        path: the file, for the message.
        ignored: boolean array of shape (H, W), True where a pixel is left out of the percentiles; such pixels become
            0 (dark).
        invert: whether low values are to be bright.
        grey_values: one of :data:`bundle.records.radiograph.GreyValues`.

    Returns:
        Array of shape (H, W), float32, C order, 0 to 1.

    Raises:
        ImageError: when no pixel is left or all have the same value.
        ConfigError: when ``grey_values`` is unknown.
    """
    if grey_values not in get_args(GreyValues):
        raise ConfigError(f"grey_values is {grey_values!r}, expected one of {', '.join(get_args(GreyValues))}.")
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        ignored = ~np.isfinite(values) | (False if ignored is None else ignored)
    low, high = _limits(values, ignored, path)
    if grey_values == "eight_bit" and values.dtype == np.uint8:
        low, high = 0.0, 255.0
    if values.dtype.kind in "ui" and values.dtype.itemsize <= 2:  # by a table of all values: several times faster
        unsigned = np.dtype(f"u{values.dtype.itemsize}")
        levels = np.arange(2 ** (8 * unsigned.itemsize)).astype(unsigned).view(values.dtype)
        table, index = _scale(levels, low, high, invert), values.view(unsigned)
        # OpenCV's tables are for 8 bits alone; they are ten times as fast, and no other thread has to wait.
        scaled = cv2.LUT(index, table) if index.itemsize == 1 else np.ascontiguousarray(table[index])
    else:
        scaled = _scale(values, low, high, invert)
    if grey_values == "eight_bit":
        scaled = np.rint(scaled * np.float32(255)) / np.float32(255)
    if ignored is not None:
        scaled[ignored] = 0.0
    return scaled


def _limits(values: np.ndarray, ignored: np.ndarray | None, path: Path) -> tuple[float, float]:
    # Ignored pixels, such as padding, are no frame: they do not count anyway.
    measured = values if ignored is None else np.where(ignored, np.nan, values)
    limits, frame = _percentiles(measured, values.size), uniform_frame(measured)
    inner = _percentiles(measured[frame.rows, frame.columns], values.size) if frame else None
    if frame and inner:
        margin = _HARMLESS * (inner[1] - inner[0])
        if any(not inner[0] - margin <= value <= inner[1] + margin for value in frame.values):
            limits = inner  # for the frame would take contrast from the image
    if limits:
        return limits
    kept = measured[np.isfinite(measured)]
    if not kept.size:
        raise ImageError(f"{path} holds only padding and no measured pixel: give an image with content.")
    low, high = float(kept.min()), float(kept.max())
    if not high > low:
        raise ImageError(f"{path} is empty, all its pixels have the value {low:g}: give an image with content.")
    return low, high


def _percentiles(values: np.ndarray, size: int) -> tuple[float, float] | None:
    """The two percentiles; None where they are equal or nothing is left. ``size`` is that of the whole image."""
    step = max(1, math.ceil(math.sqrt(size / _SAMPLES)))
    sample = values[::step, ::step]
    sample = sample[np.isfinite(sample)]
    low, high = np.percentile(sample, PERCENTILES).tolist() if sample.size else (0.0, 0.0)
    return (low, high) if high > low else None


def _scale(values: np.ndarray, low: float, high: float, invert: bool) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # pixels that are not finite, some of which even a difference complains about
        scaled = np.subtract(values, low, dtype=np.float64)
        scaled /= high - low
        np.clip(scaled, 0.0, 1.0, out=scaled)
    if invert:
        np.subtract(1.0, scaled, out=scaled)
    return np.ascontiguousarray(scaled, dtype=np.float32)


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
    low, high = _percentiles(values, values.size) or (0.0, 0.0)
    tolerance = _FRAME_TOLERANCE * (high - low)
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


def _strip(lines: np.ndarray, tolerance: float, side: int, found: list[float]) -> int:
    """How many lines from the first on hold one value, which is noted; 0 where they are too few for a frame."""
    if not lines.size:
        return 0
    step = max(1, math.ceil(lines.shape[1] / _LINE_SAMPLES))
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
