"""Checks on a data set that has been read: counts, sizes, places of the landmarks, duplicates."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from bundle.io.radiographs import read_radiograph
from datasets.files import DataSetError
from datasets.records import DataSet

#: Side of the thumbnails that are compared.
THUMBNAIL = 48
#: From this correlation of two thumbnails on, they are of one exposure: the same image saved or scaled again.
SAME_IMAGE = 0.995
#: More than this share of landmarks outside their images means that the numbers are no pixels of these images.
MOST_OUTSIDE = 0.01


@dataclass(frozen=True)
class Look:
    """What is seen of one image.

    Attributes:
        width: columns.
        height: rows.
        digest: SHA-256 of the grey values, whatever the format of the file.
        thumbnail: (THUMBNAIL * THUMBNAIL,), mean 0 and length 1.
    """

    width: int
    height: int
    digest: str
    thumbnail: np.ndarray


@dataclass(frozen=True)
class Duplicate:
    """Two images that are one.

    Attributes:
        first: id of the image that comes first.
        second: id of the other.
        exact: whether every grey value is the same.
        across_splits: whether they are in different splits, or parts of one.
    """

    first: str
    second: str
    exact: bool
    across_splits: bool


def look_at(data: DataSet) -> dict[str, Look]:
    """Look at every image of a data set, by id.

    Raises:
        ImageError: when one cannot be read.
    """
    with tqdm(data.images, desc="images", unit="image") as shown:  # a bar that an error ends has a line of its own
        return {image.image_id: _look(image.path) for image in shown}


def _look(path: Path) -> Look:
    try:
        with Image.open(path) as opened:
            grey = np.asarray(opened if opened.mode in ("L", "I;16", "I") else opened.convert("L"))
    except (OSError, ValueError):
        grey = read_radiograph(path).pixels  # DICOM, NIfTI, MetaImage, NRRD; or the one sentence that says why not
    height, width = grey.shape
    small = Image.fromarray(grey.astype(np.float32)).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    values = np.asarray(small, dtype=np.float64).ravel()
    values = values - values.mean()
    length = np.linalg.norm(values)
    digest = hashlib.sha256(np.ascontiguousarray(grey).tobytes()).hexdigest()
    return Look(width, height, digest, values / length if length > 0 else values)


def find_duplicates(data: DataSet, looks: dict[str, Look]) -> list[Duplicate]:
    """Pairs of images that are one: equal grey values, or thumbnails that correlate by :data:`SAME_IMAGE`."""
    ids = [image.image_id for image in data.images]
    if len(ids) < 2:
        return []
    home = {image.image_id: (image.split, image.part) for image in data.images}
    thumbnails = np.stack([looks[image_id].thumbnail for image_id in ids])
    found = []
    for first, row in enumerate(thumbnails @ thumbnails.T):
        for second in range(first + 1, len(ids)):
            one, other = ids[first], ids[second]
            exact = looks[one].digest == looks[other].digest
            if exact or row[second] >= SAME_IMAGE:
                found.append(Duplicate(one, other, exact, home[one] != home[other]))
    return found


def drop_duplicates(data: DataSet, duplicates: Sequence[Duplicate]) -> list[str]:
    """Which images to leave out so that none is there twice.

    Of a pair it is the image of the earlier split, so that no image that is measured has been seen before; within a
    split it is the second one.
    """
    rank = {image.image_id: (image.split == "testing", image.split == "validation") for image in data.images}
    dropped: set[str] = set()
    for pair in duplicates:
        if pair.first in dropped or pair.second in dropped:
            continue
        dropped.add(pair.first if rank[pair.first] < rank[pair.second] else pair.second)
    return [image.image_id for image in data.images if image.image_id in dropped]


def check(data: DataSet, looks: dict[str, Look]) -> list[str]:
    """Look for what is unusual.

    Returns:
        remarks for the user, one sentence each; none where all is as it should be.

    Raises:
        DataSetError: when the annotations cannot belong to these images.
    """
    if not data.images:
        raise DataSetError(f"{data.name} has no image with landmarks: check the folder.")
    remarks = [*_counts(data), *_sizes(data, looks), *_places(data, looks), *_order(data)]
    for names, text in (
        (data.without_image, "annotated, but there is no such image"),
        (data.without_landmarks, "not annotated"),
    ):
        if names:
            remarks.append(f"{len(names)} image(s) {text}: {_listed(names)}.")
    return remarks


def _counts(data: DataSet) -> list[str]:
    found = Counter(image.split for image in data.images)
    return [
        f"{found[split]} images in {split}, the full data set has {count}."
        for split, count in data.expected.items()
        if found[split] != count
    ]


def _sizes(data: DataSet, looks: dict[str, Look]) -> list[str]:
    if data.size is None:
        return []
    wrong = [name for name, look in looks.items() if (look.width, look.height) != data.size]
    if wrong:
        look = looks[wrong[0]]
        raise DataSetError(
            f"{data.name}: image {wrong[0]} has {look.width} x {look.height} pixels, expected {data.size[0]} x "
            f"{data.size[1]}: use the original files, landmarks and spacing belong to them ({len(wrong)} such images)."
        )
    return []


def _places(data: DataSet, looks: dict[str, Look]) -> list[str]:
    outside, total = [], 0
    for image in data.images:
        look = looks[image.image_id]
        for reader, points in image.points.items():
            if len(points) != len(data.landmark_names):
                raise DataSetError(
                    f"{data.name}: image {image.image_id} has {len(points)} landmarks, expected "
                    f"{len(data.landmark_names)}: complete the annotation, or leave the image out."
                )
            known = np.isfinite(points).all(axis=1)
            inside = (points >= -0.5).all(axis=1) & (points <= [look.width - 0.5, look.height - 0.5]).all(axis=1)
            total += int(known.sum())
            outside += [
                f"{image.image_id} {data.landmark_names[index]} ({reader})" for index in np.flatnonzero(known & ~inside)
            ]
    if not total:
        raise DataSetError(f"{data.name}: no image has any landmark: check the annotations.")
    if len(outside) > MOST_OUTSIDE * total:
        raise DataSetError(
            f"{data.name}: {len(outside)} of {total} landmarks lie outside their images, the first is {outside[0]}: "
            "annotations and images do not belong together, or the coordinates are no pixels (x, y)."
        )
    return [f"{len(outside)} landmark(s) outside the image: {_listed(outside)}."] if outside else []


def _order(data: DataSet) -> list[str]:
    """Landmarks whose place is far from that of all other images: two names were changed, or a number is wrong."""
    if len(data.images) < 5:
        return []
    points = np.stack([data.truth(image) for image in data.images])
    extent = np.nanmax(points, axis=(0, 1)) - np.nanmin(points, axis=(0, 1))
    middle = np.nanmedian(points, axis=0)
    away = np.linalg.norm((points - middle) / np.maximum(extent, 1), axis=-1)
    rows, columns = np.nonzero(away > 0.5)
    strange = [f"{data.images[row].image_id} {data.landmark_names[column]}" for row, column in zip(rows, columns)]
    return [f"{len(strange)} landmark(s) far from their usual place: {_listed(strange)}."] if strange else []


def _listed(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def consecutive(names: Sequence[str]) -> bool:
    """Whether names are numbers that follow each other, so that a table can number its columns."""
    return all(name.isdecimal() for name in names) and all(int(b) == int(a) + 1 for a, b in pairwise(names))
