"""Landmarks in 3D Slicer's markups files: a point list in millimetres, brought to the pixels of an image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from bundle.errors import LandmarkError
from bundle.io.landmark_files.checks import MAX_LANDMARKS, Coordinate, check_names, make_set
from bundle.records.landmarks import LandmarkSet
from bundle.records.radiograph import Radiograph
from bundle.records.validation import Foreign, Items, shown, validate

#: From the file's coordinate system to LPS, coordinate by coordinate.
_TO_LPS = {"LPS": np.array([1.0, 1.0, 1.0]), "RAS": np.array([-1.0, -1.0, 1.0])}

#: From the file's unit to millimetres.
_TO_MM = {"mm": 1.0, "um": 1e-3}

#: How far from the image's plane a point may lie, as a share of the image's diagonal.
_OFF_PLANE = 0.1


class _ControlPoint(Foreign):
    """A point of a list; 3D Slicer calls one that was skipped ``missing`` and one that is still moved ``preview``."""

    label: str = ""
    position: Annotated[Items[Coordinate], Field(min_length=3, max_length=3)] = (np.nan,) * 3
    positionStatus: Literal["defined", "undefined", "preview", "missing"] = "defined"

    @model_validator(mode="after")
    def _check(self) -> _ControlPoint:
        if self.positionStatus == "defined" and np.isnan(self.position).any():
            raise LandmarkError(
                f"landmark {shown(self.label)} is defined, but its position {shown(list(self.position))} is not three "
                "numbers; place it, or set its positionStatus to undefined."
            )
        return self


class _PointList(Foreign):
    coordinateSystem: Literal["LPS", "RAS"] = "LPS"
    coordinateUnits: Annotated[
        Literal["mm", "um"], BeforeValidator(lambda unit: unit[0] if isinstance(unit, list) and unit else unit)
    ] = "mm"
    controlPoints: list[_ControlPoint] = Field([], max_length=MAX_LANDMARKS)


class _Markups(Foreign):
    markups: list[dict[str, Any]]


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
    markups = validate(_Markups, document, str(path), LandmarkError).markups
    lists = [markup for markup in markups if markup.get("type") == "Fiducial"]
    if len(lists) != 1:
        types = ", ".join(shown(markup.get("type")) for markup in markups[:5]) or "nothing"
        raise LandmarkError(
            f"{path}: found {len(lists)} point lists (the markups are of type {types}), but one was expected; save one "
            "point list (type Fiducial) into a file of its own."
        )
    points_list = validate(_PointList, lists[0], str(path), LandmarkError)
    controls = points_list.controlPoints
    names = [control.label.strip() for control in controls]
    check_names(str(path), names)
    positions = np.array([c.position if c.positionStatus == "defined" else (np.nan,) * 3 for c in controls])
    positions = positions * _TO_LPS[points_list.coordinateSystem] * _TO_MM[points_list.coordinateUnits]
    return make_set(str(path), names, _to_pixels(path, names, positions, image).tolist())


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
