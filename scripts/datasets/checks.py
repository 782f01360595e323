"""Checks on a data set that has been read: counts, sizes, places of the landmarks, duplicates."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from bundle.errors import BundleError, a_few
from bundle.io.intensity import scale_to_unit
from bundle.io.landmark_files.checks import refuse_shares
from bundle.io.radiographs import decode_image
from bundle.records.console import progress
from bundle.records.landmarks import outside_image
from datasets.files import DataSetError
from datasets.records import DataSet, LabelledImage

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


def look_at(data: DataSet) -> tuple[DataSet, dict[str, Look]]:
    """Look at every image of a data set.

    Returns:
        the data set without the images that cannot be used, which are among its failures; and what is seen of the
        others, by id.

    Raises:
        DataSetError: when no image can be used.
    """
    looks: dict[str, Look] = {}
    failures = list(data.failures)
    with progress(data.images, desc="images", unit="image") as shown:
        for image in shown:
            try:
                look = _look(image.path)
                _check_points(data, image, look)
                looks[image.image_id] = look
            except BundleError as error:
                failures.append((str(image.path), str(error)))
    if not looks:
        raise DataSetError(
            failures[0][1] if failures else f"{data.name} has no image with landmarks: check the folder."
        )
    images = [image for image in data.images if image.image_id in looks]
    return replace(data, images=images, failures=tuple(failures)), looks


def _look(path: Path) -> Look:
    decoded = decode_image(path)
    grey = np.asarray(decoded.values)
    height, width = grey.shape
    digest = hashlib.sha256(f"{width} {height} {decoded.white_is_zero}".encode())
    digest.update(np.ascontiguousarray(grey, dtype=np.float64).tobytes())  # one type, whatever the file has
    pixels = scale_to_unit(grey, path, ignored=decoded.ignored, invert=decoded.white_is_zero)
    small = Image.fromarray(pixels).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    values = np.asarray(small, dtype=np.float64).ravel()
    values = values - values.mean()
    length = np.linalg.norm(values)
    return Look(width, height, digest.hexdigest(), values / length if length > 0 else values)


def _check_points(data: DataSet, image: LabelledImage, look: Look) -> None:
    """Whether an image and its annotations belong together."""
    size = look.width, look.height
    if image.size not in (None, size):
        raise DataSetError(
            f"{image.path} has {look.width} x {look.height} pixels, expected {image.size[0]} x {image.size[1]}, which "
            "its annotations belong to: use the original file."
        )
    for points in image.points.values():
        if len(points) != len(data.landmark_names):
            raise DataSetError(
                f"{image.path} has {len(points)} landmarks, expected {len(data.landmark_names)}: complete the "
                "annotation, or leave the image out."
            )
        refuse_shares(str(image.path), points, size)


def find_duplicates(data: DataSet, looks: dict[str, Look]) -> list[Duplicate]:
    """Pairs of images that are one: equal grey values, or thumbnails that correlate by :data:`SAME_IMAGE`."""
    home = {image.image_id: (image.split, image.part) for image in data.images}
    thumbnails = np.stack([looks[name].thumbnail for name in home])
    _, digests = np.unique([looks[name].digest for name in home], return_inverse=True)
    found = []
    for first, name in enumerate(home):
        exact = digests[first + 1 :] == digests[first]
        same = exact | (thumbnails[first + 1 :] @ thumbnails[first] >= SAME_IMAGE)
        for place in map(int, np.flatnonzero(same)):
            other = list(home)[first + 1 + place]
            found.append(Duplicate(name, other, bool(exact[place]), home[name] != home[other]))
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
    remarks = [*_counts(data), *_places(data, looks), *_order(data)]
    for names, text in (
        (data.without_image, "annotated, but there is no such image"),
        (data.without_landmarks, "not annotated"),
    ):
        if names:
            remarks.append(f"{len(names)} image(s) {text}: {a_few(names, 5)}.")
    return remarks


def _counts(data: DataSet) -> list[str]:
    found = Counter(image.split for image in data.images)
    return [
        f"{found[split]} images in {split}, the full data set has {count}."
        for split, count in data.expected.items()
        if found[split] != count
    ]


def _places(data: DataSet, looks: dict[str, Look]) -> list[str]:
    outside, total = [], 0
    for image in data.images:
        look = looks[image.image_id]
        for reader, points in image.points.items():
            total += int(np.isfinite(points).all(axis=1).sum())
            outside += [
                f"{image.image_id} {data.landmark_names[index]} ({reader})"
                for index in np.flatnonzero(outside_image(points, look.width, look.height))
            ]
    if not total:
        raise DataSetError(f"{data.name}: no image has any landmark: check the annotations.")
    if len(outside) > MOST_OUTSIDE * total:
        raise DataSetError(
            f"{data.name}: {len(outside)} of {total} landmarks lie outside their images, the first is {outside[0]}: "
            "annotations and images do not belong together, or the coordinates are no pixels (x, y)."
        )
    return [f"{len(outside)} landmark(s) outside the image: {a_few(outside, 5)}."] if outside else []


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
    return [f"{len(strange)} landmark(s) far from their usual place: {a_few(strange, 5)}."] if strange else []


def consecutive(names: Sequence[str]) -> bool:
    """Whether names are numbers that follow each other, so that a table can number its columns."""
    return all(name.isdecimal() for name in names) and all(int(b) == int(a) + 1 for a, b in pairwise(names))
