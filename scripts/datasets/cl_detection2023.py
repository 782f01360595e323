"""CL-Detection 2023 (MICCAI): ``train_stack.mha`` with 400 cephalograms, ``train-gt.json`` with 38 landmarks each.

The images of the stack are padded with zeros to one size; they are written one by one without the padding. A point of
the JSON file is ``[x, y, number of the image from 1]`` with the mm per pixel of its image under ``scale``.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Annotated

import numpy as np
from PIL import Image
from pydantic import Field, Strict

from bundle.io.landmark_files.checks import Coordinate, pixel_set
from bundle.records.landmarks import LandmarkSet
from bundle.records.validation import Foreign
from datasets.files import DataSetError, Source, arrange, read_json
from datasets.metaimage_stack import stacked_images
from datasets.records import DataSet, LabelledImage

LANDMARKS = tuple(str(number) for number in range(1, 39))


class _Point(Foreign):
    name: Annotated[str, Field(coerce_numbers_to_str=True, strict=False)]
    point: Annotated[tuple[Coordinate, Coordinate, int], Strict(False)]
    scale: Annotated[float, Field(gt=0, strict=False)]


class _Truth(Foreign):
    points: list[_Point] = Field(min_length=1)


def read_cl_detection2023(source: Source) -> DataSet:
    """Read the challenge's training set and write its images to ``images`` of the output.

    Raises:
        DataSetError: when a file is missing or damaged.
    """
    truth, stack = source.file("train-gt.json"), source.file("train_stack.mha", "train-stack.mha")
    if truth is None or stack is None:
        raise DataSetError(
            f"{source.folder} has not both train-gt.json and train_stack.mha: unpack the challenge's files there."
        )
    points, scales = _points(truth)
    folder = source.output / "images"
    folder.mkdir(parents=True, exist_ok=True)
    images, without = [], []
    number = 0
    for number, pixels in enumerate(stacked_images(stack), start=1):
        if number not in points:
            without.append(f"{number:03d}")
            continue
        path = folder / f"{number:03d}.png"
        Image.fromarray(without_padding(pixels)).save(path, compress_level=1)
        named = arrange(points[number], LANDMARKS, f"{truth}, image {number}")
        images.append(LabelledImage(path.stem, path, "training", {"challenge": named}, (scales[number],) * 2))
    return DataSet(
        name="cl_detection2023",
        title="CL-Detection 2023, cephalograms of several centres (MICCAI challenge)",
        licence="the terms that participants sign (reported as CC BY-NC 4.0): do not pass the images on",
        landmark_names=LANDMARKS,
        images=images,
        layout="challenge",
        expected={"training": 400},
        without_image=tuple(f"{index:03d}" for index in sorted(points) if index > number),
        without_landmarks=tuple(without),
    )


def _points(file: Path) -> tuple[dict[int, LandmarkSet], dict[int, float]]:
    named: dict[int, dict[str, tuple[float, float]]] = defaultdict(dict)
    scales: dict[int, float] = {}
    for entry in read_json(file, _Truth).points:
        x, y, number = entry.point
        named[number][entry.name] = x, y
        if scales.setdefault(number, entry.scale) != entry.scale:
            raise DataSetError(
                f"{file}: image {number} has the scales {scales[number]} and {entry.scale}: mend the file."
            )
    where = f"{file}, image"
    return {n: pixel_set(f"{where} {n}", list(found), list(found.values())) for n, found in named.items()}, scales


def without_padding(pixels: np.ndarray) -> np.ndarray:
    """A padded image (H, W) or (H, W, channels) as grey image without the rows and columns of zeros at right and below.

    Points are counted from the upper left corner, so they stay what they are.

    Raises:
        DataSetError: when the image is all zeros.
    """
    grey = pixels if pixels.ndim == 2 else pixels[..., 0]
    rows, columns = np.flatnonzero(grey.any(axis=1)), np.flatnonzero(grey.any(axis=0))
    if not len(rows):
        raise DataSetError("an image of the stack holds nothing but zeros: download train_stack.mha again.")
    return np.ascontiguousarray(grey[: rows[-1] + 1, : columns[-1] + 1])
