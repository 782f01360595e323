"""Landmarks in JSON: results, LabelMe's points, lists, names with pairs of numbers; 3D Slicer's point lists in mm."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BeforeValidator, ConfigDict, Field, RootModel, model_validator

from bundle.errors import LandmarkError
from bundle.io.landmark_files.checks import (
    MAX_DOCUMENT_BYTES,
    MAX_LANDMARKS,
    Coordinate,
    make_set,
    pixel_set,
    read_text,
)
from bundle.records.landmarks import LandmarkSet
from bundle.records.radiograph import Radiograph
from bundle.records.validation import Foreign, Items, Pair, parse_json, shown, validate

_SHAPES = 'expected {"landmarks": [{"name": ..., "x": ..., "y": ...}, ...]} or {"<name>": [x, y], ...}'
_OWN = "one-shot-landmarks/"


class _Landmark(Foreign):
    name: str
    x: Coordinate
    y: Coordinate


class _Listed(Foreign):
    landmarks: list[_Landmark] = Field(max_length=MAX_LANDMARKS)


class _Result(_Listed):
    schema_: Literal["one-shot-landmarks/result/3", "one-shot-landmarks/result/2", "one-shot-landmarks/result/1"] = (
        Field(alias="schema")
    )
    width: int
    height: int


class _Shape(Foreign):
    label: str
    shape_type: Literal["point"]
    points: list[Pair[Coordinate]] = Field(min_length=1, max_length=1)


class _LabelMe(Foreign):
    shapes: list[_Shape] = Field(max_length=MAX_LANDMARKS)


class _Pairs(RootModel[dict[str, Pair[Coordinate] | None]]):
    model_config = ConfigDict(strict=True)

    root: dict[str, Pair[Coordinate] | None] = Field(max_length=MAX_LANDMARKS)


def load_document(path: Path) -> dict[str, Any]:
    """Read a JSON file whose top is an object.

    Args:
        path: the file.

    Returns:
        The object.

    Raises:
        LandmarkError: when the file cannot be read, is no JSON, is nested too deep, uses a key twice in an object, or
            its top is no object.
    """
    document = parse_json(read_text(path, MAX_DOCUMENT_BYTES), str(path), LandmarkError)
    if not isinstance(document, dict):
        raise LandmarkError(f"{path}: found {shown(document)} at the top of the file; {_SHAPES}.")
    return document


def landmarks_from_document(path: Path, document: dict[str, Any], size: tuple[int, int] | None = None) -> LandmarkSet:
    """The landmarks of a JSON document in pixels.

    Args:
        path: the file, for messages.
        document: what :func:`load_document` returned.
        size: ``(width, height)`` of the image in pixels, which the product's own results must share; None where the
            image is not known.

    Returns:
        The landmarks; missing where a coordinate is null or NaN.

    Raises:
        LandmarkError: when the document has another shape, or is a result for an image of another size.
    """
    if "shapes" in document:
        shapes = validate(_LabelMe, document, str(path), LandmarkError).shapes
        from_corner = [(x - 0.5, y - 0.5) for ((x, y),) in (shape.points for shape in shapes)]
        return pixel_set(str(path), [shape.label for shape in shapes], from_corner, size)
    if not str(document.get("schema", "")).startswith(_OWN):
        if "landmarks" not in document:
            pairs = validate(_Pairs, document, str(path), LandmarkError).root
            points = [pair or (math.nan, math.nan) for pair in pairs.values()]
            return pixel_set(str(path), list(pairs), points, size)
        listed = validate(_Listed, document, str(path), LandmarkError)
    else:
        listed = result = validate(_Result, document, str(path), LandmarkError)
        if size is not None and (result.width, result.height) != size:
            raise LandmarkError(
                f"{path} belongs to an image of {result.width} x {result.height} pixels, but the image has {size[0]} x "
                f"{size[1]} pixels; choose the landmark file of this image."
            )
    return pixel_set(str(path), [one.name for one in listed.landmarks], [(p.x, p.y) for p in listed.landmarks], size)


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
    def _check(self) -> Self:
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
    names = [control.label for control in controls]
    positions = np.array([c.position if c.positionStatus == "defined" else (np.nan,) * 3 for c in controls])
    positions = positions.reshape(-1, 3) * _TO_LPS[points_list.coordinateSystem] * _TO_MM[points_list.coordinateUnits]
    return make_set(str(path), names, _to_pixels(path, names, positions, image))


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
