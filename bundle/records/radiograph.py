"""One radiograph as plain arrays: what every reader returns."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

#: How grey values become 0 to 1: between robust percentiles; or as they are in 8 bits, deeper ones rounded to 8 bits
#: after that stretch (the paper's public code knows 8 bits only).
GreyValues = Literal["stretch", "eight_bit"]


def identity_pixel_to_lps() -> np.ndarray:
    """The geometry of a file that has none: x to the left, y to the posterior, one millimetre per pixel."""
    return np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])


class WithPixelSize:
    """A record of an image.

    Attributes:
        spacing: millimetres per pixel as ``(x, y)`` = (between columns, between rows), or None where unknown.
        aspect: height of a pixel over its width where the spacing is unknown, such as DICOM's ``PixelAspectRatio``.
    """

    spacing: tuple[float, float] | None
    aspect: float

    @property
    def pixel_size(self) -> tuple[float, float]:
        """The spacing, or where it is unknown, the proportion of a pixel's sides alone, ``(x, y)``."""
        return self.spacing or (1.0, self.aspect)

    @property
    def mm_per_pixel(self) -> float:
        """Millimetres per pixel of a length in no direction, half of whose square lies along each axis; else NaN."""
        return math.nan if self.spacing is None else math.hypot(*self.spacing) / math.sqrt(2)


@dataclass(frozen=True, kw_only=True)
class ImageGeometry(WithPixelSize):
    """What a file says of size, place and side of its pixels.

    Attributes:
        spacing: millimetres per pixel as ``(x, y)`` = (between columns, between rows), or None where unknown.
        spacing_source: the rule that gave the spacing, such as ``"PixelSpacing"`` or ``"config"``; None where unknown.
        aspect: height of a pixel over its width where the spacing is unknown, such as DICOM's ``PixelAspectRatio``.
        pixel_to_lps: array of shape (3, 3) that maps ``(x, y, 1)`` in pixels to the LPS position in mm at which
            3D Slicer shows that pixel when it loads the same file: columns are the step along x, the step along y,
            and the origin. It follows the file alone, so for a PNG one pixel is one unit even where the user gave a
            spacing.
        laterality: the side of the body part, ``"L"``, ``"R"``, ``"B"`` (both) or ``"U"`` (unpaired); None where the
            file does not say.
        rows_towards: the direction of the patient in which columns are counted, such as ``"A"`` for anterior (first
            value of DICOM's ``PatientOrientation``); None where the file does not say.
    """

    spacing: tuple[float, float] | None = None
    spacing_source: str | None = None
    aspect: float = 1.0
    pixel_to_lps: np.ndarray = field(default_factory=identity_pixel_to_lps)
    laterality: str | None = None
    rows_towards: str | None = None


@dataclass(frozen=True)
class Radiograph(ImageGeometry):
    """One 2D radiograph.

    Attributes:
        pixels: array of shape (H, W), float32, 0 to 1 by one of :data:`GreyValues`, bone bright.
        path: the file that it was read from.
    """

    pixels: np.ndarray
    path: Path

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.pixels.shape[0])
