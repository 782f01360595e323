"""Landmarks in 3D Slicer's markups files: a point list in millimetres, brought to the pixels of an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bundle.io.landmark_files.checks import MAX_LANDMARKS, check_names, check_number, make_set, shown
from bundle.records.errors import LandmarkError
from bundle.records.landmarks import LandmarkSet
from bundle.records.radiograph import Radiograph

#: From the file's coordinate system to LPS, coordinate by coordinate.
_TO_LPS = {"LPS": np.array([1.0, 1.0, 1.0]), "RAS": np.array([-1.0, -1.0, 1.0])}

#: From the file's unit to millimetres.
_TO_MM = {"mm": 1.0, "um": 1e-3}

#: How far from the image's plane a point may lie, as a share of the image's diagonal.
_OFF_PLANE = 0.1


def landmarks_from_markups(path: Path, document: dict[str, Any], image: Radiograph) -> LandmarkSet:
    """The landmarks of a markups document.

    Args:
        path: the file, for messages.
        document: the JSON document, with the key ``markups``.
        image: the image on which the points were placed; its ``pixel_to_lps`` brings them from mm to pixels.

    Returns:
        The control points of the document's one point list: the label is the name, ``(x, y)`` in pixels; missing where
        the position status is not ``defined``.

    Raises:
        LandmarkError: when the document does not hold exactly one point list with sound points, or a point lies far
            from the image's plane.
    """
    points_list = _point_list(path, document)
    system = points_list.get("coordinateSystem", "LPS")
    if not isinstance(system, str) or system not in _TO_LPS:
        raise LandmarkError(
            f"{path}: found the coordinateSystem {shown(system)}, but LPS or RAS was expected; save it so."
        )
    unit = points_list.get("coordinateUnits", "mm")
    unit = unit[0] if isinstance(unit, list) and unit else unit
    if not isinstance(unit, str) or unit not in _TO_MM:
        raise LandmarkError(f"{path}: found the coordinateUnits {shown(unit)}, but mm or um was expected; save it so.")
    controls = points_list.get("controlPoints", [])
    if not isinstance(controls, list):
        raise LandmarkError(
            f"{path}: found {shown(controls)} as controlPoints where a list was expected; save it again."
        )
    if len(controls) > MAX_LANDMARKS:
        raise LandmarkError(
            f"{path} holds {len(controls)} points, more than the {MAX_LANDMARKS} that are read: check that it is a "
            "landmark file."
        )
    names = [_label(path, number, control) for number, control in enumerate(controls, start=1)]
    check_names(str(path), names)
    positions = np.array([_position(path, name, control) for name, control in zip(names, controls)])
    positions = positions * _TO_LPS[system] * _TO_MM[unit]
    return make_set(str(path), names, _to_pixels(path, names, positions, image).tolist())


def _point_list(path: Path, document: dict[str, Any]) -> dict[str, Any]:
    """The one point list of a document."""
    markups = document["markups"]
    if not isinstance(markups, list) or not all(isinstance(markup, dict) for markup in markups):
        raise LandmarkError(
            f"{path}: found {shown(markups)} as markups where a list of objects was expected; save it again."
        )
    lists = [markup for markup in markups if markup.get("type") == "Fiducial"]
    if len(lists) != 1:
        types = ", ".join(shown(markup.get("type")) for markup in markups[:5]) or "nothing"
        raise LandmarkError(
            f"{path}: found {len(lists)} point lists (the markups are of type {types}), but one was expected; save one "
            "point list (type Fiducial) into a file of its own."
        )
    return lists[0]


def _label(path: Path, number: int, control: object) -> str:
    """The name of a control point."""
    if not isinstance(control, dict):
        raise LandmarkError(
            f"{path}: control point {number} is {shown(control)} where an object was expected; save it again."
        )
    label = control.get("label", "")
    if not isinstance(label, str) or not label.strip():
        raise LandmarkError(
            f"{path}: control point {number} has the label {shown(label)}, but a name was expected; give one."
        )
    return label.strip()


def _position(path: Path, name: str, control: dict[str, Any]) -> list[float]:
    """The position of a control point as the file has it; NaN where it is not defined."""
    status = control.get("positionStatus", "defined")
    if status in ("undefined", "preview"):
        return [np.nan] * 3
    if status != "defined":
        raise LandmarkError(
            f"{path}: landmark {shown(name)} has the positionStatus {shown(status)}, but defined, preview or undefined "
            "was expected; save it again."
        )
    position = control.get("position")
    if not isinstance(position, list) or len(position) != 3:
        raise LandmarkError(
            f"{path}: landmark {shown(name)} has the position {shown(position)}, but three numbers were expected; "
            "place it, or set its positionStatus to undefined."
        )
    numbers = [check_number(value, f"{path}: landmark {shown(name)}, position") for value in position]
    if any(np.isnan(numbers)):
        raise LandmarkError(
            f"{path}: landmark {shown(name)} is defined, but its position {shown(position)} is not three numbers; "
            "place it, or set its positionStatus to undefined."
        )
    return numbers


def _to_pixels(path: Path, names: list[str], positions: np.ndarray, image: Radiograph) -> np.ndarray:
    """Positions in LPS, (N, 3) in mm, to pixels, (N, 2): the point of the image's plane nearest to each."""
    steps, origin = image.pixel_to_lps[:, :2], image.pixel_to_lps[:, 2]
    if not np.isfinite(image.pixel_to_lps).all() or np.linalg.matrix_rank(steps) < 2:
        raise LandmarkError(
            f"{path}: the image {image.path.name} has no usable position in space, so that mm cannot be brought to "
            "pixels; give the landmarks in pixels, as CSV or JSON."
        )
    points = (positions - origin) @ np.linalg.pinv(steps).T
    distance = np.linalg.norm(points @ steps.T + origin - positions, axis=1)
    allowed = _OFF_PLANE * float(np.hypot(*(np.linalg.norm(steps, axis=0) * (image.width, image.height))))
    for name, off in zip(names, distance):
        if off > allowed:
            raise LandmarkError(
                f"{path}: landmark {shown(name)} lies {off:.4g} mm off the plane of the image {image.path.name}, but "
                f"at most {allowed:.4g} mm was expected; check that the points were placed on this image."
            )
    return points
