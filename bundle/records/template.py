"""The annotated image, or the few of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bundle.records.errors import LandmarkError
from bundle.records.landmarks import LandmarkSet
from bundle.records.pixel_size import WithPixelSize


@dataclass(frozen=True)
class Template(WithPixelSize):
    """The annotated image that everything is matched to, and further ones where there are more.

    Attributes:
        pixels: (H, W), float32, 0 to 1, bone bright.
        landmarks: names and points in pixels ``(x, y)`` of the image, all present and inside it.
        spacing: millimetres a pixel as ``(x, y)``, or None where unknown.
        name: the image file's name, for messages.
        digest: SHA-256 of the image file, by which an evaluation knows the template again; None where there is no file.
        others: further annotated images with the same landmarks in the same order; they have no others of their own.
        aspect: height of a pixel over its width where the spacing is unknown.

    Raises:
        LandmarkError: when landmarks are missing, outside, or not the same in all images.
    """

    pixels: np.ndarray
    landmarks: LandmarkSet
    spacing: tuple[float, float] | None
    name: str
    digest: str | None = None
    others: tuple[Template, ...] = ()
    aspect: float = 1.0

    def __post_init__(self) -> None:
        height, width = self.pixels.shape
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
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        height, width = self.pixels.shape
        return int(height), int(width)
