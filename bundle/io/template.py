"""Read the template: one image and its landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bundle.errors import LandmarkError
from bundle.io.digest import file_digest
from bundle.io.landmark_files import read_landmarks
from bundle.io.radiographs import read_radiograph
from bundle.io.size import DEFAULT_MAX_PIXELS
from bundle.template import Template


def read_template(
    image: str | Path,
    landmarks: str | Path | None,
    *,
    spacing: float | Sequence[float] | None = None,
    names: Sequence[str] | None = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> Template:
    """Read the one annotated image.

    Args:
        image: the image file.
        landmarks: its landmark file; out of a table of many images comes the row of this image.
        spacing: millimetres a pixel, one number or ``(x, y)``, where the file is not to decide.
        names: other names for the landmarks, one for each.
        max_pixels: the largest number of pixels (width times height) that is decoded.

    Raises:
        ImageError: when the image cannot be read.
        LandmarkError: when the landmarks cannot be read, are missing, or lie outside the image.
    """
    if landmarks is None:
        raise LandmarkError(f"the template image {image} has no landmarks: give --template_landmarks FILE.")
    radiograph = read_radiograph(image, spacing, max_pixels=max_pixels)
    found = read_landmarks(landmarks, radiograph)
    if names is not None:
        found = found.renamed(names)
    return Template(radiograph.pixels, found, radiograph.spacing, radiograph.path.name, file_digest(image))
