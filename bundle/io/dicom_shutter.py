"""The part of a DICOM image that its display shutter leaves visible."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw
from pydicom.dataset import Dataset

from bundle.io.dicom_geometry import element, finite_numbers

_MAX_VERTICES = 10_000
_FARTHEST = 1e6  # pixels; a vertex further away is malformed
_EDGES = ("LeftVerticalEdge", "RightVerticalEdge", "UpperHorizontalEdge", "LowerHorizontalEdge")


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
    shapes = {str(entry).strip().upper() for entry in ([named] if isinstance(named, str) else named or [])}
    visible = np.ones(shape, dtype=bool)
    rows, columns = np.ogrid[1.0 : shape[0] + 1, 1.0 : shape[1] + 1]
    edges = np.concatenate([finite_numbers(dataset, f"Shutter{name}") for name in _EDGES])
    if "RECTANGULAR" in shapes and len(edges) == len(_EDGES):
        left, right, upper, lower = edges
        visible &= (rows >= upper) & (rows <= lower) & (columns >= left) & (columns <= right)
    centre, radius = (finite_numbers(dataset, f"{name}OfCircularShutter") for name in ("Center", "Radius"))
    if "CIRCULAR" in shapes and len(centre) == 2 and len(radius) == 1 and radius[0] > 0:
        # The radius counts pixels along a row: where pixels are not square, the circle is an ellipse of pixels.
        visible &= ((rows - centre[0]) * aspect) ** 2 + (columns - centre[1]) ** 2 <= radius[0] ** 2
    vertices = finite_numbers(dataset, "VerticesOfThePolygonalShutter")
    sound = 6 <= len(vertices) <= 2 * _MAX_VERTICES and len(vertices) % 2 == 0 and np.abs(vertices).max() <= _FARTHEST
    if "POLYGONAL" in shapes and sound:
        picture = Image.new("L", (shape[1], shape[0]))
        points = [(float(column), float(row)) for row, column in vertices.reshape(-1, 2) - 1]
        ImageDraw.Draw(picture).polygon(points, fill=1, outline=1)
        visible &= np.asarray(picture, dtype=bool)
    return ~visible if visible.any() and not visible.all() else None
