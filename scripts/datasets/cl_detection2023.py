"""CL-Detection 2023 (MICCAI): ``train_stack.mha`` with 400 cephalograms, ``train-gt.json`` with 38 landmarks each.

The images of the stack are padded with zeros to one size; they are written one by one without the padding. A point of
the JSON file is ``[x, y, number of the image from 1]`` with the mm per pixel of its image under ``scale``.
"""

import zlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated, Any

import numpy as np
from PIL import Image
from pydantic import Field, Strict

from bundle.io.landmark_files.checks import Coordinate, pixel_set
from bundle.records.landmarks import LandmarkSet
from bundle.records.validation import Foreign
from datasets.files import DataSetError, Source, arrange, read_json
from datasets.records import DataSet, LabelledImage

LANDMARKS = tuple(str(number) for number in range(1, 39))
_TYPES = {"MET_UCHAR": np.uint8, "MET_USHORT": np.uint16, "MET_SHORT": np.int16}


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


def stacked_images(path: Path) -> Iterator[np.ndarray]:
    """The images of a three-dimensional ``.mha`` file, compressed or not.

    Args:
        path: the file.

    Yields:
        arrays of shape (H, W) or (H, W, channels).

    Raises:
        DataSetError: when the file is no such stack or ends too early.
    """
    with path.open("rb") as file:
        header = _header(path, file)
        size = [int(number) for number in header.get("DimSize", "").split()]
        kind = _TYPES.get(header.get("ElementType", ""))
        if len(size) != 3 or kind is None or header.get("ElementDataFile") != "LOCAL":
            raise DataSetError(f"{path} is no stack of 2D images in one .mha file: download it again.")
        channels = int(header.get("ElementNumberOfChannels", "1"))
        shape = (size[1], size[0], channels) if channels > 1 else (size[1], size[0])
        wanted = int(np.prod(shape)) * np.dtype(kind).itemsize
        inflate = zlib.decompressobj() if header.get("CompressedData", "").lower() == "true" else None
        for number in range(1, size[2] + 1):
            data = file.read(wanted) if inflate is None else _inflate(path, file, inflate, wanted)
            if len(data) < wanted:
                raise DataSetError(f"{path} ends within image {number} of {size[2]}: download it again.")
            yield np.frombuffer(data, dtype=kind).reshape(shape)


def _header(path: Path, file: IO[bytes]) -> dict[str, str]:
    header: dict[str, str] = {}
    for _ in range(100):
        key, equals, value = file.readline(1000).partition(b"=")
        if not equals:
            break
        name, text = key.decode("latin-1").strip(), value.decode("latin-1").strip()
        header[name] = text
        if name == "ElementDataFile":
            return header
    raise DataSetError(f"{path} has no header of a MetaImage file: download it again.")


def _inflate(path: Path, file: IO[bytes], inflate: Any, wanted: int) -> bytes:
    parts: list[bytes] = []
    got = 0
    try:
        while got < wanted:
            data = inflate.unconsumed_tail or file.read(1 << 20)
            part = inflate.decompress(data, wanted - got)
            if not data and not part:
                break
            parts.append(part)
            got += len(part)
    except zlib.error:
        raise DataSetError(f"{path} is compressed in a way that cannot be read: download it again.") from None
    return b"".join(parts)
