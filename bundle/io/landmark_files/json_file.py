"""Landmarks in JSON: the product's own results, LabelMe's points, a list, or names with pairs of numbers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, RootModel

from bundle.errors import LandmarkError
from bundle.io.landmark_files.checks import MAX_DOCUMENT_BYTES, MAX_LANDMARKS, Coordinate, pixel_set, read_text
from bundle.records.landmarks import LandmarkSet
from bundle.records.validation import Foreign, Pair, parse_json, shown, validate

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
