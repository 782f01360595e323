"""What the readers return, before grey values are brought to 0..1; what size, grey and spacing of a file may be."""

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bundle.errors import ConfigError, ImageError
from bundle.records.radiograph import SidedGeometry

#: Five times a large detector: full spines and legs, and scanned films, are below it. Reading such an image takes up to
#: 1.6 GB for a moment.
DEFAULT_MAX_PIXELS = 100_000_000
MIN_SIDE = 32

_SAMPLES = 2**18
_TOLERANCE = 24 / 255  # difference of channels, as a share of the full range, that JPEG noise can cause
_COLOURED_SHARE = 0.01  # a coloured mark or caption may cover this share of the image


@dataclass(frozen=True)
class DecodedImage(SidedGeometry):
    """The grey values and the geometry of one file.

    Attributes:
        values: array of shape (H, W), any integer or real type, rows = image rows.
        ignored: boolean array of shape (H, W), True where a pixel holds no measurement (padding) or is hidden by a
            shutter, or None.
        white_is_zero: whether the file says that low values are shown bright (``MONOCHROME1`` or "white is zero").
    """

    values: np.ndarray
    ignored: np.ndarray | None = None
    white_is_zero: bool = False


def is_grey(channels: np.ndarray, full_range: float, neutral: tuple[int, ...] = ()) -> bool:
    """Whether three channels hold no more colour than compression noise and small marks.

    At most one pixel in a hundred, counted on a regular grid, may be coloured. Coloured means that the red, green and
    blue values differ by more than 24/255 of the full range.

    Args:
        channels: array of shape (H, W, 3), red, green and blue; with ``neutral``, luminance and two chroma channels.
        full_range: the largest value that the type of file can hold, such as 255.
        neutral: indices of the chroma channels, which are grey at half the full range.
    """
    step = max(1, math.ceil(math.sqrt(channels.shape[0] * channels.shape[1] / _SAMPLES)))
    sample = np.moveaxis(channels[::step, ::step], -1, 0).astype(np.float64, order="C")  # else each pixel is a loop
    spread = np.ptp(sample, axis=0)
    if neutral:
        spread = 2 * np.abs(sample[list(neutral)] - (full_range + 1) / 2).max(axis=0)
    return bool(np.mean(spread > _TOLERANCE * full_range) <= _COLOURED_SHARE)


def check_max_pixels(max_pixels: int) -> int:
    """Validate the setting ``max_pixels``.

    Args:
        max_pixels: the largest number of pixels (width times height) that is read.

    Returns:
        The same number.

    Raises:
        ConfigError: when it is not a positive whole number.
    """
    if isinstance(max_pixels, bool) or not isinstance(max_pixels, int) or max_pixels < 1:
        raise ConfigError(f"max_pixels is {max_pixels!r}, but a whole number of at least 1 is needed.")
    return max_pixels


def check_size(path: Path, width: int, height: int, max_pixels: int) -> None:
    """Refuse an image that is too small to be a radiograph or too large to be read.

    Args:
        path: the file, for the message.
        width: columns that the header states.
        height: rows that the header states.
        max_pixels: the largest number of pixels (width times height) that is read.

    Raises:
        ImageError: when a side is shorter than 32 pixels, or there are more than ``max_pixels`` pixels.
    """
    if width < MIN_SIDE or height < MIN_SIDE:
        raise ImageError(
            f"{path} is {width} x {height} pixels, but each side of a radiograph needs at least {MIN_SIDE}: "
            "give the full image."
        )
    if width * height > max_pixels:
        raise ImageError(
            f"{path} is {width} x {height} = {width * height} pixels, more than max_pixels = {max_pixels}: "
            "make the image smaller or raise max_pixels."
        )


def check_single_plane(path: Path, shape: Sequence[int], max_pixels: int) -> tuple[int, int]:
    """Find the two axes of a plane, and refuse a volume.

    Args:
        path: the file, for the message.
        shape: sizes along the axes, in the order of the file format: columns before rows before slices.
        max_pixels: the largest number of pixels that is decoded.

    Returns:
        The axis of x (columns) and the axis of y (rows): the two that are longer than 1, in order.

    Raises:
        ImageError: when more than two axes are longer than 1, or the plane is too small or too large.
    """
    axes = [axis for axis, size in enumerate(shape) if size != 1]
    if len(axes) > 2 or any(axis > 2 for axis in axes):
        raise ImageError(
            f"{path} is a volume or a series of {' x '.join(map(str, shape))} pixels, but one 2D radiograph is needed: "
            "save one slice as a file."
        )
    axes += [axis for axis in range(3) if axis not in axes][: 2 - len(axes)]
    width, height = (int(shape[axis]) if axis < len(shape) else 1 for axis in axes)
    check_size(path, width, height, max_pixels)
    return axes[0], axes[1]


def positive_pair(values: Any) -> tuple[float, float] | None:
    """Two positive finite numbers, or None where they are not such a pair.

    Args:
        values: anything; what a file holds in the place of its pixel spacing.

    Returns:
        The pair in the same order, or None.
    """
    if isinstance(values, (str, bytes)):
        return None
    try:
        first, second = (float(value) for value in values)
    except (TypeError, ValueError, OverflowError):
        return None
    if math.isfinite(first) and math.isfinite(second) and first > 0 and second > 0:
        return first, second
    return None


def stated_spacing(pair: Any, mm: float = 1.0) -> tuple[float, float] | None:
    """The pixel spacing that a file states, unless it is what writers fill in where nothing is known.

    Converters write 1 x 1, for instance when a PNG becomes a NIfTI or a DICOM file, and no detector has pixels of 1 mm.
    So 1 x 1 counts as unknown, like zero, negative and non-finite numbers; a user who means 1 mm says so in the
    configuration.

    Args:
        pair: ``(x, y)`` as the file has it, in a unit of its own; anything.
        mm: millimetres of that unit.

    Returns:
        ``(x, y)`` in mm, or None.
    """
    found = positive_pair(pair)
    return None if found is None or found == (1.0, 1.0) else (found[0] * mm, found[1] * mm)


def parse_spacing(spacing: float | Sequence[float] | None) -> tuple[float, float] | None:
    """Validate a pixel spacing from the configuration or the data list.

    Args:
        spacing: millimetres per pixel, as one number (also in a list of its own) for square pixels or as ``(x, y)`` =
            (between columns, between rows); None leaves it to the image file.

    Returns:
        ``(x, y)`` in mm, or None.

    Raises:
        ConfigError: when it is not one or two positive finite numbers.
    """
    if spacing is None:
        return None
    one_number = isinstance(spacing, numbers.Real) and not isinstance(spacing, bool)
    given: Any = [spacing] if one_number else spacing
    pair = positive_pair(given * 2 if isinstance(given, list) and len(given) == 1 else given)
    if pair is None:
        raise ConfigError(
            f"the pixel spacing is {spacing!r}, but one positive number or (x, y) in mm per pixel is needed: "
            "correct it, or leave it out to use what the image file says."
        )
    return pair
