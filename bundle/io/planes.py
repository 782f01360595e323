"""The one 2D plane in a format that is made for volumes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bundle.io.size import check_size
from bundle.records.errors import ImageError


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
