"""The points of one image as the server gives and takes them: a result, and a point list of 3D Slicer.

Pixels are ``(x, y)`` = (column, row), counted from 0, with pixel centres at integers. Millimetres are LPS, as in the
files; 3D Slicer's own space is RAS (see :mod:`.coordinates`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import PointsError

#: The published schema of 3D Slicer that a point list follows.
MARKUPS_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)

#: From a file's coordinate system to LPS, coordinate by coordinate.
_TO_LPS = {"LPS": (1.0, 1.0, 1.0), "RAS": (-1.0, -1.0, 1.0)}

_MAX_POINTS = 10_000


@dataclass(frozen=True)
class Point:
    """One landmark.

    Attributes:
        name: its name.
        lps: its place in LPS and mm; None for a landmark that is missing.
        pixel: its place ``(x, y)`` in pixels of the image; None where the server does not say.
        confidence: 0 to 1; None where unknown.
        expected_error: the calibrated expectation of its error; None where unknown.
        error_unit: ``mm`` or ``px``, of the expected error.
    """

    name: str
    lps: tuple[float, float, float] | None
    pixel: tuple[float, float] | None = None
    confidence: float | None = None
    expected_error: float | None = None
    error_unit: str = "px"

    @property
    def certainty(self) -> str:
        """How sure the point is, in words, as the description of a point in 3D Slicer."""
        if self.lps is None:
            return "not found"
        words = []
        if self.confidence is not None:
            words.append(f"confidence {self.confidence:.2f}")
        if self.expected_error is not None:
            words.append(f"expected error {self.expected_error:.1f} {self.error_unit}")
        return ", ".join(words)


@dataclass(frozen=True)
class Result:
    """What the server found on one image.

    Attributes:
        points: the landmarks in the server's order.
        width: columns of the image as the server read it; None where it does not say.
        height: rows of it; None where it does not say.
        document: all that the server said.
    """

    points: tuple[Point, ...]
    width: int | None
    height: int | None
    document: Mapping[str, Any]


def read_result(document: Any) -> Result:
    """Read the answer of an inference.

    Args:
        document: the JSON answer; the result is its ``result``, or the answer itself.

    Returns:
        The result.

    Raises:
        PointsError: when it holds no landmarks, or they are not sound.
    """
    found = document.get("result", document) if isinstance(document, dict) else document
    landmarks = found.get("landmarks") if isinstance(found, dict) else None
    if not isinstance(landmarks, list) or not landmarks or len(landmarks) > _MAX_POINTS:
        raise PointsError("The server's answer holds no landmarks: choose a model that finds landmarks.")
    points = []
    for number, landmark in enumerate(landmarks, start=1):
        if not isinstance(landmark, dict):
            raise PointsError(f"Landmark {number} of the server's answer is not an object: try again.")
        name = _name(landmark.get("name"), number)
        x, y = _number(landmark.get("x"), name), _number(landmark.get("y"), name)
        error, unit = _number(landmark.get("expected_error_mm"), name), "mm"
        if error is None:
            error, unit = _number(landmark.get("expected_error_px"), name), "px"
        points.append(
            Point(
                name,
                _place(landmark.get("lps"), name),
                None if x is None or y is None else (x, y),
                _number(landmark.get("confidence"), name),
                error,
                unit,
            )
        )
    _check_names([point.name for point in points])
    width, height = found.get("width"), found.get("height")
    if not (isinstance(width, int) and isinstance(height, int)):
        width = height = None
    return Result(tuple(points), width, height, found)


def read_markups(document: Any) -> tuple[Point, ...]:
    """Read a point list of 3D Slicer.

    Args:
        document: the JSON document of a ``.mrk.json`` file.

    Returns:
        Its points; those that are not placed have no ``lps``.

    Raises:
        PointsError: when it does not hold one point list with sound points.
    """
    markups = document.get("markups") if isinstance(document, dict) else None
    lists = (
        [m for m in markups if isinstance(m, dict) and m.get("type") == "Fiducial"] if isinstance(markups, list) else []
    )
    if len(lists) != 1:
        raise PointsError(f"Found {len(lists)} point lists where one was expected: save one point list as .mrk.json.")
    system, unit = lists[0].get("coordinateSystem", "LPS"), lists[0].get("coordinateUnits", "mm")
    if system not in _TO_LPS or unit not in ("mm", ["mm", ""]):
        raise PointsError(
            f"The point list is in {system} and {unit}, but LPS or RAS and mm were expected: save it from 3D Slicer."
        )
    controls = lists[0].get("controlPoints", [])
    if not isinstance(controls, list) or len(controls) > _MAX_POINTS:
        raise PointsError("The point list's controlPoints are not a list: save it again from 3D Slicer.")
    points = []
    for number, control in enumerate(controls, start=1):
        if not isinstance(control, dict):
            raise PointsError(f"Point {number} of the point list is not an object: save it again from 3D Slicer.")
        name = _name(control.get("label"), number)
        place = None
        if control.get("positionStatus", "defined") == "defined":
            place = _place(control.get("position"), name)
            if place is None:
                raise PointsError(f"The point {name!r} has no position: place it, or mark it as missing.")
            x, y, z = (value * sign for value, sign in zip(place, _TO_LPS[system]))
            place = (x, y, z)
        points.append(Point(name, place))
    _check_names([point.name for point in points])
    return tuple(points)


def markups_document(title: str, points: Sequence[Point]) -> dict[str, Any]:
    """Write points as a point list of 3D Slicer.

    Args:
        title: the name of the list.
        points: the points; one without ``lps`` is written as undefined.

    Returns:
        The JSON document of a ``.mrk.json`` file: type ``Fiducial``, LPS, mm.

    Raises:
        PointsError: when there is no point, a name is empty or there twice, or a number is not finite.
    """
    if not points:
        raise PointsError("There are no points: place the landmarks first.")
    _check_names([_name(point.name, number) for number, point in enumerate(points, start=1)])
    controls = []
    for number, point in enumerate(points, start=1):
        place = None if point.lps is None else _place(list(point.lps), point.name)
        controls.append(
            {
                "id": str(number),
                "label": point.name,
                "description": point.certainty,
                "associatedNodeID": "",
                "position": [0.0, 0.0, 0.0] if place is None else [round(value, 6) + 0.0 for value in place],
                "orientation": [-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0],
                "selected": True,
                "locked": False,
                "visibility": True,
                "positionStatus": "undefined" if place is None else "defined",
            }
        )
    markup = {
        "type": "Fiducial",
        "name": title,
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "locked": False,
        "fixedNumberOfControlPoints": True,
        "labelFormat": "%N-%d",
        "lastUsedControlPointNumber": len(controls),
        "controlPoints": controls,
        "measurements": [],
    }
    return {"@schema": MARKUPS_SCHEMA, "markups": [markup]}


def check_label(points: Sequence[Point], expected: Sequence[str]) -> None:
    """Make sure that points can be sent as the label of an image.

    Args:
        points: the points.
        expected: the names that the landmarks must have; empty where any will do.

    Raises:
        PointsError: when none is placed, a name is there twice, or the names differ from those expected.
    """
    names = [point.name for point in points]
    _check_names(names)
    if not any(point.lps is not None for point in points):
        raise PointsError("No landmark is placed yet: place at least one before sending.")
    if not expected:
        return
    missing = [name for name in expected if name not in names]
    unknown = [name for name in names if name not in expected]
    if missing:
        raise PointsError(
            f"The landmark {missing[0]!r} is not in the list"
            + (f", nor are {len(missing) - 1} others" if len(missing) > 1 else "")
            + ": a landmark that cannot be seen stays in the list, marked as missing."
        )
    if unknown:
        raise PointsError(f"The point {unknown[0]!r} is none of the server's {len(expected)} landmarks: remove it.")


def dump(document: Mapping[str, Any]) -> str:
    """A document as the text of a JSON file."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _name(value: Any, number: int) -> str:
    if not isinstance(value, str) or not value.strip():
        raise PointsError(f"Point {number} has no name: give it one.")
    return value.strip()


def _check_names(names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise PointsError(f"The name {name!r} is there twice: give each landmark a name of its own.")
        seen.add(name)


def _number(value: Any, name: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise PointsError(f"The landmark {name!r} has {str(value)[:40]!r} where a number was expected.")
    return float(value)


def _place(value: Any, name: str) -> tuple[float, float, float] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 3:
        raise PointsError(f"The landmark {name!r} has {str(value)[:40]!r} where three numbers were expected.")
    numbers = [_number(item, name) for item in value]
    if any(number is None for number in numbers):
        return None
    x, y, z = (number for number in numbers if number is not None)
    return x, y, z
