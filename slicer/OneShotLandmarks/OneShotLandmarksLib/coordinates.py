"""From the files' space (LPS) to 3D Slicer's (RAS), and from there to the pixels of an image.

Both spaces are in mm. The axes are left-posterior-superior and right-anterior-superior, so the first two coordinates
change their sign. A matrix is 4 x 4, row by row; ``ijk`` counts voxels from 0 with their centres at integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .errors import PointsError

Matrix = Sequence[Sequence[float]]


def lps_to_ras(place: Sequence[float]) -> tuple[float, float, float]:
    """A place in LPS as one in RAS."""
    x, y, z = place
    return -x + 0.0, -y + 0.0, z + 0.0


def ras_to_lps(place: Sequence[float]) -> tuple[float, float, float]:
    """A place in RAS as one in LPS."""
    return lps_to_ras(place)


@dataclass(frozen=True)
class ImagePlane:
    """The pixels of a radiograph in 3D Slicer's space.

    Pixels are ``(x, y)`` = (column, row), counted from 0, with pixel centres at integers.

    Attributes:
        width: columns.
        height: rows.
        axes: the axes of ``ijk`` that run along x and y.
        ijk_to_ras: the volume's matrix.
        ras_to_ijk: its inverse.
    """

    width: int
    height: int
    axes: tuple[int, int]
    ijk_to_ras: Matrix
    ras_to_ijk: Matrix

    def pixel(self, ras: Sequence[float]) -> tuple[float, float]:
        """The pixel in front of a place in RAS, straight onto the plane along the volume's third axis."""
        ijk = _apply(self.ras_to_ijk, ras)
        return ijk[self.axes[0]], ijk[self.axes[1]]

    def ras(self, x: float, y: float) -> tuple[float, float, float]:
        """Where a pixel lies in RAS, on the plane."""
        ijk = [0.0, 0.0, 0.0]
        ijk[self.axes[0]], ijk[self.axes[1]] = x, y
        return _apply(self.ijk_to_ras, ijk)

    def holds(self, x: float, y: float) -> bool:
        """Whether a place in pixels is on the image; its edge is half a pixel around the outer centres."""
        return -0.5 <= x <= self.width - 0.5 and -0.5 <= y <= self.height - 0.5


def image_plane(dimensions: Sequence[int], ijk_to_ras: Matrix, ras_to_ijk: Matrix) -> ImagePlane:
    """The plane of a volume that is one radiograph.

    Args:
        dimensions: voxels along the three axes.
        ijk_to_ras: the volume's matrix.
        ras_to_ijk: its inverse.

    Returns:
        The plane; x and y run along the two axes that are longer than 1, in order, as the server reads the file.

    Raises:
        PointsError: when all three axes are longer than 1.
    """
    long = [axis for axis, size in enumerate(dimensions) if size != 1]
    if len(long) > 2:
        raise PointsError(
            f"The volume has {' x '.join(map(str, dimensions))} voxels, but a radiograph has one slice: load an "
            "image of the server's list."
        )
    long += [axis for axis in range(3) if axis not in long][: 2 - len(long)]
    x, y = long
    return ImagePlane(dimensions[x], dimensions[y], (x, y), ijk_to_ras, ras_to_ijk)


def _apply(matrix: Matrix, place: Sequence[float]) -> tuple[float, float, float]:
    """Three coordinates after an affine map."""
    x, y, z = (sum(row[axis] * place[axis] for axis in range(3)) + row[3] for row in matrix[:3])
    return x, y, z
