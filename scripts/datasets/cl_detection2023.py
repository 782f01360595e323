"""CL-Detection 2023 (MICCAI): ``train_stack.mha`` with 400 cephalograms, ``train-gt.json`` with 38 landmarks each.

The images of the stack are padded with zeros to one size; they are written one by one without the padding. A point of
the JSON file is ``[x, y, number of the image from 1]`` with the mm per pixel of its image under ``scale``.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from datasets.files import DataSetError, Source, arrange, point, positive, read_json
from datasets.metaimage_stack import stacked_images
from datasets.records import DataSet, LabelledImage

LANDMARKS = tuple(str(number) for number in range(1, 39))


def read_cl_detection2023(source: Source, output: Path) -> DataSet:
    """Read the challenge's training set and write its images to ``output/images``.

    Raises:
        DataSetError: when a file is missing or damaged.
    """
    truth, stack = source.file("train-gt.json"), source.file("train_stack.mha", "train-stack.mha")
    if truth is None or stack is None:
        raise DataSetError(
            f"{source.folder} has not both train-gt.json and train_stack.mha: unpack the challenge's files there."
        )
    points, scales = _points(truth)
    folder = output / "images"
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


def _points(file: Path) -> tuple[dict[int, dict[str, tuple[float, float]]], dict[int, float]]:
    content = read_json(file)
    listed: Any = content.get("points") if isinstance(content, dict) else None
    if not isinstance(listed, list) or not listed:
        raise DataSetError(f"{file} has no list 'points': it is not the challenge's train-gt.json.")
    points: dict[int, dict[str, tuple[float, float]]] = defaultdict(dict)
    scales: dict[int, float] = {}
    for index, entry in enumerate(listed):
        where = f"{file}, point {index + 1}"
        if not isinstance(entry, dict) or not isinstance(entry.get("point"), list) or len(entry["point"]) != 3:
            raise DataSetError(f"{where} is {entry!r:.80}, expected a name, [x, y, image] and a scale: mend the file.")
        number = int(entry["point"][2])
        points[number][str(entry.get("name"))] = point(entry["point"], where)
        scale = positive(entry.get("scale"), f"{where}: scale")
        if scales.setdefault(number, scale) != scale:
            raise DataSetError(f"{where}: image {number} has the scales {scales[number]} and {scale}: mend the file.")
    return dict(points), scales


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
