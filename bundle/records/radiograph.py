"""One radiograph as plain arrays, which every reader returns; and the annotated one, or the few of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from bundle.errors import ConfigError, ImageError, LandmarkError
from bundle.records.landmarks import LandmarkSet

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
    """What a file says of size and place of its pixels.

    Attributes:
        spacing: millimetres per pixel as ``(x, y)`` = (between columns, between rows), or None where unknown.
        spacing_source: the rule that gave the spacing, such as ``"PixelSpacing"`` or ``"config"``; None where unknown.
        aspect: height of a pixel over its width where the spacing is unknown, such as DICOM's ``PixelAspectRatio``.
        pixel_to_lps: array of shape (3, 3) that maps ``(x, y, 1)`` in pixels to the LPS position in mm at which
            3D Slicer shows that pixel when it loads the same file: columns are the step along x, the step along y,
            and the origin. It follows the file alone, so for a PNG one pixel is one unit even where the user gave a
            spacing.
    """

    spacing: tuple[float, float] | None = None
    spacing_source: str | None = None
    aspect: float = 1.0
    pixel_to_lps: np.ndarray = field(default_factory=identity_pixel_to_lps)


@dataclass(frozen=True, kw_only=True)
class SidedGeometry(ImageGeometry):
    """What a file also says of the patient.

    Attributes:
        laterality: the side of the body part, ``"L"``, ``"R"``, ``"B"`` (both) or ``"U"`` (unpaired); None where the
            file does not say.
        rows_towards: the direction of the patient in which columns are counted, such as ``"A"`` for anterior (first
            value of DICOM's ``PatientOrientation``); None where the file does not say.
    """

    laterality: str | None = None
    rows_towards: str | None = None


@dataclass(frozen=True)
class Radiograph(SidedGeometry):
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


@dataclass(frozen=True)
class Template(WithPixelSize):
    """The annotated image that everything is matched to, and further ones where there are more.

    Attributes:
        pixels: (H, W), float32, 0 to 1, bone bright; None where a model was saved without its images.
        landmarks: names and points in pixels ``(x, y)`` of the image, all present and inside it.
        spacing: millimetres per pixel as ``(x, y)``, or None where unknown.
        name: the image file's name, for messages.
        digest: SHA-256 of the image file, by which an evaluation knows the template again; None where there is no file.
        others: further annotated images with the same landmarks in the same order; they have no others of their own.
        aspect: height of a pixel over its width where the spacing is unknown.
        size: (height, width) in pixels; that of ``pixels`` where there are any.
        missing: why there is no template, where this one stands for none (see :meth:`absent`); else empty.

    Raises:
        ImageError: when spacing or aspect is not positive and finite.
        LandmarkError: when landmarks are missing, outside, or not the same in all images.
        ValueError: when there is neither an image nor its size.
    """

    pixels: np.ndarray | None
    landmarks: LandmarkSet
    spacing: tuple[float, float] | None
    name: str
    digest: str | None = None
    others: tuple[Template, ...] = ()
    aspect: float = 1.0
    size: tuple[int, int] = (0, 0)
    missing: str = ""

    @classmethod
    def absent(cls, missing: str) -> Template:
        """What stands for a template that was not given: a run can be put together with it, as MONAI's checks do.

        Args:
            missing: what is missing and how to give it, in one sentence.
        """
        return cls(
            np.zeros((1, 1), np.float32), LandmarkSet(("none",), np.zeros((1, 2))), None, "none", missing=missing
        )

    def require(self) -> None:
        """Refuse to work with what only stands for a template.

        Raises:
            ConfigError: saying what is missing.
        """
        if self.missing:
            raise ConfigError(self.missing)

    def __post_init__(self) -> None:
        if self.pixels is not None:
            object.__setattr__(self, "size", (int(self.pixels.shape[0]), int(self.pixels.shape[1])))
        height, width = self.size
        if height < 1 or width < 1:
            raise ValueError(f"template {self.name} has no pixels and no size")
        if not all(0 < value < math.inf for value in (*self.pixel_size, self.aspect)):
            raise ImageError(
                f"template {self.name} has the pixel spacing {self.spacing} and aspect {self.aspect}: positive, finite "
                "numbers expected."
            )
        self.landmarks.require_inside(width, height, f"template {self.name}")
        for other in self.others:
            if other.landmarks.names != self.landmarks.names or other.others:
                raise LandmarkError(
                    f"template {other.name} has the landmarks {', '.join(other.landmarks.names)}, but the first "
                    f"template {self.name} has {', '.join(self.landmarks.names)}: annotate the same ones in all."
                )

    @property
    def all(self) -> tuple[Template, ...]:
        """This image and the others."""
        return (self, *self.others)

    @property
    def image(self) -> np.ndarray:
        """The pixels, for what cannot do without.

        Raises:
            ConfigError: when the model was saved without its images.
        """
        if self.pixels is None:
            raise ConfigError(
                f"this model was saved without its images (keep_images false), but that of {self.name} is needed here: "
                "train with --keep_images True."
            )
        return self.pixels

    def without_pixels(self) -> Template:
        """The same without any image: landmarks, sizes and names only."""
        return replace(self, pixels=None, others=tuple(other.without_pixels() for other in self.others))
