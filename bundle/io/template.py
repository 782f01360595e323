"""Read the template: one image and its landmarks, or a few."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bundle.errors import ConfigError, LandmarkError
from bundle.io.decoded import DEFAULT_MAX_PIXELS
from bundle.io.landmark_files import read_landmarks
from bundle.io.overwriting import file_digest
from bundle.io.radiographs import read_radiograph
from bundle.records.landmarks import LandmarkSet
from bundle.records.radiograph import Radiograph, Template

#: An image: a file, or its grey values (H, W).
ImageSource = str | Path | np.ndarray

#: Landmarks of one image: a file, points by name, or points (N, 2), ``(x, y)`` in pixels, which are then only numbered.
LandmarkSource = str | Path | Mapping[str, Sequence[float]] | np.ndarray


def read_template(
    image: ImageSource | Sequence[ImageSource] | None,
    landmarks: LandmarkSource | list[Any] | tuple[Any, ...] | None,
    *,
    spacing: float | Sequence[float] | None = None,
    names: Sequence[str] | None = None,
    voi_lut: bool = False,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    grey_values: str = "stretch",
) -> Template:
    """Read the annotated image, or a few of them.

    Args:
        image: the image, a file or an array of shape (H, W), or a list of them.
        landmarks: its landmarks, see :data:`LandmarkSource`; out of a table of many images comes the row of this image.
            With several images, one table for all, or a list with the landmarks of each.
        spacing: millimetres a pixel, one number or ``(x, y)``, where the file is not to decide.
        names: other names for the landmarks, one for each.
        voi_lut: whether to apply the window or the table that a DICOM file proposes for display.
        max_pixels: the largest number of pixels (width times height) that is decoded.
        grey_values: how they become 0 to 1, see :func:`bundle.io.intensity.scale_to_unit`.

    Raises:
        ImageError: when an image cannot be read.
        LandmarkError: when the landmarks cannot be read, are missing, lie outside the image, or are not the same in
            all images.
        ConfigError: when the image is something else than files; without any, the template says so when it is used.
    """
    if image is None:
        return Template.absent(
            "there is no template: name the annotated image and its landmarks, as in `python -m monai.bundle run "
            "training --config_file configs/train.json --template_image template.png --template_landmarks "
            "template.csv`."
        )
    read = partial(read_radiograph, spacing=spacing, voi_lut=voi_lut, max_pixels=max_pixels, grey_values=grey_values)
    if not isinstance(image, ImageSource | Sequence):
        raise ConfigError(f"the template image is {image!r}, expected a file or a list of files: correct it.")
    images: list[ImageSource] = [image] if isinstance(image, ImageSource) else list(image)
    files = list(landmarks) if isinstance(landmarks, (list, tuple)) else [landmarks] * len(images)
    if not images or len(files) != len(images):
        raise LandmarkError(
            f"there are {len(images)} template images and {len(files)} landmark files: give as many, or one table."
        )
    first, *others = [_read_one(read, one, file, names) for one, file in zip(images, files)]
    names = first.landmarks.names
    ordered = [replace(one, landmarks=one.landmarks.in_order_of(names, f"template {one.name}")) for one in others]
    return replace(first, others=tuple(ordered))


def _read_one(
    read: Callable[[ImageSource], Radiograph],
    image: ImageSource,
    landmarks: LandmarkSource | None,
    names: Sequence[str] | None,
) -> Template:
    if landmarks is None:
        shown = "array" if isinstance(image, np.ndarray) else image
        raise LandmarkError(f"the template image {shown} has no landmarks: give --template_landmarks FILE.")
    radiograph = read(image)
    if isinstance(landmarks, (str, Path)):
        found = read_landmarks(landmarks, radiograph)
    elif isinstance(landmarks, Mapping):
        found = LandmarkSet(tuple(landmarks), np.array([*landmarks.values()], dtype=np.float64))
    else:
        found = LandmarkSet(tuple(str(number) for number in range(1, len(landmarks) + 1)), landmarks)
    if names is not None:
        found = LandmarkSet(tuple(names), found.points)
    digest = None if isinstance(image, np.ndarray) else file_digest(image)
    return Template(
        radiograph.pixels, found, radiograph.spacing, radiograph.path.name, digest, aspect=radiograph.aspect
    )
