"""The annotated image, or the few of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from bundle.errors import ConfigError, ImageError, LandmarkError
from bundle.records.landmarks import LandmarkSet
from bundle.records.radiograph import WithPixelSize


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
