"""The one annotated image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bundle.landmarks import LandmarkSet


@dataclass(frozen=True)
class Template:
    """The annotated image that everything is matched to.

    Attributes:
        pixels: (H, W), float32, 0 to 1, bone bright.
        landmarks: names and points in pixels ``(x, y)`` of the image, all present and inside it.
        spacing: millimetres a pixel as ``(x, y)``, or None where unknown.
        name: the image file's name, for messages.
        digest: SHA-256 of the image file, by which an evaluation knows the template again; None where there is no file.
    """

    pixels: np.ndarray
    landmarks: LandmarkSet
    spacing: tuple[float, float] | None
    name: str
    digest: str | None = None

    def __post_init__(self) -> None:
        height, width = self.pixels.shape
        self.landmarks.require_inside(width, height, f"template {self.name}")

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        height, width = self.pixels.shape
        return int(height), int(width)
