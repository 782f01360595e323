"""Grey values to 0..1, bone bright: by robust percentiles, or as they are in 8 bits."""

import math
from pathlib import Path
from typing import get_args

import cv2
import numpy as np

from bundle.errors import ConfigError, ImageError
from bundle.io.borders import uniform_frame
from bundle.records.radiograph import GreyValues

PERCENTILES = (0.5, 99.5)
_HARMLESS = 0.05  # of the range inside: a frame so close to it, such as air of the same black, is like the image
_SAMPLES = 2**18  # the percentiles are taken from every n-th row and column, of about this many pixels


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
    frame = uniform_frame(values if ignored is None else np.where(ignored, np.nan, values))
    limits = _percentiles(values, ignored)
    if frame is not None:
        inside = (frame.rows, frame.columns)
        inner = _percentiles(values[inside], None if ignored is None else ignored[inside], values.size)
        if inner and any(_stretches(value, *inner) for value in frame.values):
            limits = inner
    if limits:
        return limits
    kept = values if ignored is None else values[~ignored]
    if not kept.size:
        raise ImageError(f"{path} holds only padding and no measured pixel: give an image with content.")
    low, high = float(kept.min()), float(kept.max())
    if not high > low:
        raise ImageError(f"{path} is empty, all its pixels have the value {low:g}: give an image with content.")
    return low, high


def _stretches(value: float, low: float, high: float) -> bool:
    """Whether a frame of this value would take contrast from an image with these limits."""
    margin = _HARMLESS * (high - low)
    return value < low - margin or value > high + margin


def _percentiles(values: np.ndarray, ignored: np.ndarray | None, size: int | None = None) -> tuple[float, float] | None:
    """The two percentiles; None where they are equal or nothing is left. ``size`` is that of the whole image."""
    step = max(1, math.ceil(math.sqrt((size or values.size) / _SAMPLES)))
    sample = values[::step, ::step]
    if ignored is not None:
        sample = sample[~ignored[::step, ::step]]
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
