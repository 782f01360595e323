"""The part of a DICOM image that its display shutter leaves visible."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw
from pydicom.dataset import Dataset

from bundle.io.dicom_geometry import element, finite_numbers

_MAX_VERTICES = 10_000
_FARTHEST = 1e6  # pixels; a vertex further away is malformed


def hidden_pixels(dataset: Dataset, shape: tuple[int, ...], aspect: float = 1.0) -> np.ndarray | None:
    """Pixels outside the display shutter (DICOM PS3.3 C.7.6.11).

    ``ShutterShape`` (0018,1600) can name several of ``RECTANGULAR``, ``CIRCULAR`` and ``POLYGONAL``; what lies outside
    any of them is hidden. Edges, centre and vertices are counted from 1 and name rows before columns. A shape whose
    numbers are missing or malformed hides nothing, nor do shapes that would hide every pixel.

    The alike elements of the collimator (0018,1700 and on) are not used: devices write them in other units than
    pixels of the image, so that they would hide what is plainly there.

    Args:
        dataset: the DICOM header.
        shape: rows and columns of the image.
        aspect: height of a pixel over its width.

    Returns:
        Boolean array of shape (H, W), True where a pixel is hidden; None where none is.
    """
    named = element(dataset, "ShutterShape")
    shapes = [named] if isinstance(named, str) else list(named or [])
    visible = np.ones(shape, dtype=bool)
    for name in {str(entry).strip().upper() for entry in shapes}:
        draw = _SHAPES.get(name)
        inside = draw(dataset, shape, aspect) if draw else None
        if inside is not None:
            visible &= inside
    return ~visible if visible.any() and not visible.all() else None


def _inside_rectangle(dataset: Dataset, shape: tuple[int, ...], _: float) -> np.ndarray | None:
    names = ("LeftVerticalEdge", "RightVerticalEdge", "UpperHorizontalEdge", "LowerHorizontalEdge")
    edges = [finite_numbers(dataset, f"Shutter{name}") for name in names]
    if any(len(edge) != 1 for edge in edges):
        return None
    left, right, upper, lower = (edge[0] for edge in edges)
    rows, columns = _counted_from_one(shape)
    return (rows >= upper) & (rows <= lower) & (columns >= left) & (columns <= right)


def _inside_circle(dataset: Dataset, shape: tuple[int, ...], aspect: float) -> np.ndarray | None:
    """The radius counts pixels along a row, so where pixels are not square the circle is an ellipse of pixels."""
    centre, radius = (finite_numbers(dataset, f"{name}OfCircularShutter") for name in ("Center", "Radius"))
    if len(centre) != 2 or len(radius) != 1 or radius[0] <= 0:
        return None
    rows, columns = _counted_from_one(shape)
    return ((rows - centre[0]) * aspect) ** 2 + (columns - centre[1]) ** 2 <= radius[0] ** 2


def _inside_polygon(dataset: Dataset, shape: tuple[int, ...], _: float) -> np.ndarray | None:
    numbers = finite_numbers(dataset, "VerticesOfThePolygonalShutter")
    if not 6 <= len(numbers) <= 2 * _MAX_VERTICES or len(numbers) % 2 or np.abs(numbers).max() > _FARTHEST:
        return None
    picture = Image.new("L", (shape[1], shape[0]))
    points = [(float(column), float(row)) for row, column in numbers.reshape(-1, 2) - 1]
    ImageDraw.Draw(picture).polygon(points, fill=1, outline=1)
    return np.asarray(picture, dtype=bool)


def _counted_from_one(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.ogrid[1 : shape[0] + 1, 1 : shape[1] + 1]
    return rows.astype(np.float64), columns.astype(np.float64)


_SHAPES: dict[str, Callable[[Dataset, tuple[int, ...], float], np.ndarray | None]] = {
    "RECTANGULAR": _inside_rectangle,
    "CIRCULAR": _inside_circle,
    "POLYGONAL": _inside_polygon,
}
