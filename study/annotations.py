"""Annotations: the point lists that users save, as landmarks in pixels."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bundle.errors import BundleError, LandmarkError
from bundle.io.landmark_files import read_landmarks
from bundle.io.overwriting import file_digest
from bundle.io.radiographs import read_radiograph
from bundle.records.landmarks import LandmarkSet
from bundle.records.radiograph import Radiograph
from bundle.writers.slicer_markups import annotation_document

#: The tags, which are folders in ``labels``: what somebody made or approved of, what is not finished, what a model
#: found.
FINAL, DRAFT, ORIGINAL = "final", "draft", "original"

#: The ending under which every annotation is kept, as a point list of 3D Slicer.
LABEL_SUFFIX = ".mrk.json"

#: The endings under which one may come.
LABEL_SUFFIXES = (LABEL_SUFFIX, ".json", ".csv")

#: What is known of a landmark: not yet placed; proposed by a model; placed by a person, surely or not; not there; there
#: but not to be seen.
State = Literal["open", "proposed", "placed", "uncertain", "absent", "not visible"]

#: The states with and without a position; the first is that of a file that names none.
WITH_POSITION: tuple[State, ...] = ("placed", "proposed", "uncertain")
WITHOUT_POSITION: tuple[State, ...] = ("open", "absent", "not visible")


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


@dataclass(frozen=True)
class Mark:
    """One landmark of one image. In a point list the state is the description, so that 3D Slicer keeps it.

    Attributes:
        name: its name.
        point: ``(x, y)`` in pixels, 0-based, pixel centres at integers; None without a position.
        state: what is known of it.
        locked: whether it is not to be moved.
    """

    name: str
    point: tuple[float, float] | None = None
    state: State = "open"
    locked: bool = False


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


def as_landmarks(marks: Sequence[Mark]) -> LandmarkSet:
    """The landmarks without their states; NaN where one has no position."""
    points = np.array([mark.point or (np.nan, np.nan) for mark in marks], dtype=np.float64)
    return LandmarkSet(tuple(mark.name for mark in marks), points)


def check_annotation(found: LandmarkSet, radiograph: Radiograph, expected: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse what could not be trained on or measured with.

    Args:
        found: the landmarks, ``(x, y)`` in pixels, NaN where missing.
        radiograph: the image that they are said to belong to, or its geometry.
        expected: who has which landmark names already, in words for the message; empty where nobody has.

    Raises:
        LandmarkError: when the names are not those expected, no landmark is placed, or one lies outside the image.
    """
    for owner, names in expected.items():
        if set(found.names) != set(names):
            raise LandmarkError(_different(found.names, names, owner))
    if found.missing.all():
        raise LandmarkError("the annotation has no landmark that is placed: place at least one, and save again.")
    found.require_inside(radiograph.width, radiograph.height, "the annotation", missing=True)


def point_list(path: Path, found: LandmarkSet, radiograph: Radiograph, image_id: str) -> bytes:
    """An annotation that was checked as a point list of 3D Slicer: as it came where it is one."""
    content = path.read_bytes()
    if path.name.lower().endswith(".json") and "markups" in json.loads(content.decode("utf-8-sig")):
        return content
    return json.dumps(annotation_document(found, radiograph, image_id), indent=2).encode()


def marks_document(marks: Sequence[Mark], radiograph: Radiograph, image_id: str) -> bytes:
    """Landmarks with their states as a point list of 3D Slicer."""
    document = annotation_document(as_landmarks(marks), radiograph, image_id)
    for mark, control in zip(marks, document["markups"][0]["controlPoints"]):
        control["description"], control["locked"] = mark.state, mark.locked
    return json.dumps(document, indent=2, ensure_ascii=False).encode()


def read_marks(label: Path, radiograph: Radiograph) -> list[Mark]:
    """Landmarks with their states; in a list of another program all that have a position were placed.

    Raises:
        LandmarkError: when the file is no point list any more.
    """
    found = read_landmarks(label, radiograph)
    marks = []
    for name, point, control in zip(found.names, found.points.tolist(), control_points(label)):
        given, there = control.get("description"), bool(np.isfinite(point).all())
        fitting = WITH_POSITION if there else WITHOUT_POSITION
        state = next((known for known in fitting if known == given), fitting[0])
        marks.append(Mark(name, (point[0], point[1]) if there else None, state, control.get("locked") is True))
    return marks


def point_names(label: Path) -> tuple[str, ...]:
    """The landmark names in a saved point list.

    Raises:
        LandmarkError: when the file is no point list any more.
    """
    return tuple(point["label"].strip() for point in control_points(label))


def all_placed(label: Path) -> bool:
    """Whether every landmark in a saved point list has a position.

    Raises:
        LandmarkError: when the file is no point list any more.
    """
    return all(point.get("positionStatus", "defined") == "defined" for point in control_points(label))


def control_points(label: Path) -> list[dict[str, Any]]:
    """The points of a list that was checked when it was saved.

    Raises:
        LandmarkError: when the file is no point list any more.
    """
    try:
        markups = json.loads(label.read_text(encoding="utf-8-sig"))["markups"]
        (points,) = [markup for markup in markups if markup["type"] == "Fiducial"]
        return list(points["controlPoints"])
    except (OSError, ValueError, KeyError, TypeError):
        raise LandmarkError(f"the saved annotation {label.name} is damaged: save it again or remove it.") from None


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
