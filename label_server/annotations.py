"""Annotations: the point lists that users save, as landmarks in pixels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bundle.errors import BundleError, LandmarkError
from bundle.io.landmark_files import read_landmarks
from bundle.io.overwriting import file_digest
from bundle.io.radiographs import read_radiograph
from bundle.records.landmarks import LandmarkSet
from bundle.records.radiograph import Radiograph

#: The tag of a finished annotation, which somebody made or approved of.
FINAL = "final"

#: Far more than a point list of thousands of landmarks needs.
MAX_BYTES = 20_000_000


@dataclass(frozen=True)
class AnnotatedImage:
    """An image of the study with its saved annotation.

    Attributes:
        image_id: the image's id in the study.
        image: the image file.
        label: the file of the point list.
    """

    image_id: str
    image: Path
    label: Path

    def landmarks(self) -> LandmarkSet:
        """The landmarks, ``(x, y)`` = (column, row) in pixels, 0-based, pixel centres at integers; NaN where missing.

        Raises:
            BundleError: when one of the files cannot be read.
        """
        return read_landmarks(self.label, read_radiograph(self.image))


def file_state(path: Path) -> tuple[Any, ...]:
    """What changes whenever a file is written anew.

    Raises:
        BundleError: when the file is gone.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise BundleError(f"{path.name} cannot be opened ({error.strerror}): check that it still exists.") from None
    return str(path), found.st_mtime_ns, found.st_size, found.st_ino


def version_of(label: Path) -> str:
    """The version of a saved annotation: what its content is, in 16 hexadecimal digits."""
    return file_digest(label)[:16]


def check_annotation(
    label: Path, image: Path, expected: Mapping[str, tuple[str, ...]]
) -> tuple[LandmarkSet, Radiograph]:
    """Read an annotation before it is saved, and refuse what could not be trained on or measured with.

    Args:
        label: the file that came in.
        image: the image that it is said to belong to.
        expected: who has which landmark names already, in words for the message; empty where nobody has.

    Returns:
        The landmarks, ``(x, y)`` in pixels, NaN where missing, and the image.

    Raises:
        LandmarkError: when the file holds no landmarks of one image, its names are not those expected, no landmark is
            placed, or one lies outside the image.
        ImageError: when the image cannot be read.
    """
    if label.stat().st_size > MAX_BYTES:
        raise LandmarkError(f"the annotation has more than {MAX_BYTES // 10**6} MB: send one point list.")
    radiograph = read_radiograph(image)
    found = read_landmarks(label, radiograph)
    for owner, names in expected.items():
        if set(found.names) != set(names):
            raise LandmarkError(_different(found.names, names, owner))
    present = ~found.missing
    if not present.any():
        raise LandmarkError("the annotation has no landmark that is placed: place at least one, and save again.")
    LandmarkSet(tuple(np.array(found.names)[present]), found.points[present]).require_inside(
        radiograph.width, radiograph.height, "the annotation"
    )
    return found, radiograph


def is_point_list(label: Path) -> bool:
    """Whether an annotation that was checked is a point list of 3D Slicer."""
    return label.name.lower().endswith(".json") and "markups" in json.loads(label.read_text(encoding="utf-8-sig"))


def _different(found: tuple[str, ...], expected: tuple[str, ...], owner: str) -> str:
    missing, strange = ([n for n in expected if n not in found], [n for n in found if n not in expected])
    parts = [
        f"{what} {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}"
        for what, names in (("without", missing), ("with the unknown", strange))
        if names
    ]
    return (
        f"the annotation has {len(found)} landmarks {' and '.join(parts)}, but the {len(expected)} of {owner} were "
        "expected: correct the names, or remove the other annotations first."
    )
