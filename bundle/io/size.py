"""How large and how small an image may be: checked from its header, before any pixel is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bundle.errors import ConfigError, ImageError

#: Five times a large detector: full spines and legs, and scanned films, are below it. Reading such an image takes up to
#: 1.6 GB for a moment.
DEFAULT_MAX_PIXELS = 100_000_000
MIN_SIDE = 32


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
