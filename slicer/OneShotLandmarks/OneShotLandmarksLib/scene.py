"""Points in 3D Slicer: a markups node that belongs to the volume of an image, and back.

A node holds world coordinates in RAS. The way down is LPS, RAS of the volume, world; the way up is world, RAS of the
volume, pixels, and from there to the plane of the image. The nodes are 3D Slicer's; this module imports none of it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .coordinates import ImagePlane, lps_to_ras, ras_to_lps
from .errors import PointsError
from .points import Point, Result

#: What nodes remember: the image that they show, the server that it came from, what was found on it, and the version of
#: the saved annotation that the user has seen.
IMAGE_ATTRIBUTE = "OneShotLandmarks.Image"
SERVER_ATTRIBUTE = "OneShotLandmarks.Server"
FOUND_ATTRIBUTE = "OneShotLandmarks.Found"
VERSION_ATTRIBUTE = "OneShotLandmarks.Version"

#: ``vtkMRMLMarkupsNode::PositionDefined``.
_DEFINED = 2

#: How far server and Slicer may disagree about where a pixel lies, and by how much a point counts as moved, in pixels.
_AGREE, _MOVED = 0.5, 0.01


def check_size(plane: ImagePlane, result: Result) -> None:
    """Make sure that a result belongs to an image of this size.

    Raises:
        PointsError: when the server read an image of another size.
    """
    if result.width is not None and (plane.width, plane.height) != (result.width, result.height):
        raise PointsError(
            f"The image has {plane.width} x {plane.height} pixels here, but {result.width} x {result.height} at the "
            "server: load it again from the server."
        )


def fill_node(node: Any, volume: Any, plane: ImagePlane, result: Result) -> None:
    """Put the points of a result into a markups node, in place of those that it has.

    Args:
        node: the markups node; it stays as it is when the result does not fit.
        volume: the volume node of the image; the points follow its transform.
        plane: the pixels of the volume.
        result: the points.

    Raises:
        PointsError: when the image is of another size, or Slicer places its pixels elsewhere than the server.
    """
    check_size(plane, result)
    for point in result.points:
        _check_place(point, plane)
    node.SetFixedNumberOfControlPoints(False)
    node.RemoveAllControlPoints()
    for number, point in enumerate(result.points):
        world = [0.0, 0.0, 0.0]
        if point.lps is not None:
            volume.TransformPointToWorld(list(lps_to_ras(point.lps)), world)
        node.AddControlPointWorld(world, point.name)
        node.SetNthControlPointDescription(number, point.certainty)
        if point.lps is None:
            node.UnsetNthControlPointPosition(number)
    # A landmark that cannot be seen is unset, not removed: the names are what belongs to the template.
    node.SetFixedNumberOfControlPoints(bool(result.points))
    node.SetAttribute(FOUND_ATTRIBUTE, _dump(result.points))


def empty_result(names: Sequence[str]) -> Result:
    """Landmarks that are all still to be placed, for an image that is annotated by hand."""
    return Result(tuple(Point(name, None) for name in names), None, None, {})


def read_node(node: Any, volume: Any, plane: ImagePlane) -> tuple[Point, ...]:
    """The points of a markups node on the plane of an image.

    Args:
        node: the markups node.
        volume: the volume node of the image.
        plane: the pixels of the volume.

    Returns:
        The points: ``lps`` in mm on the plane of the image, ``pixel`` as ``(x, y)``; None for those not placed.
        A point that was found and not moved keeps its confidence.

    Raises:
        PointsError: when a point lies beside the image.
    """
    found = {point.name: point for point in found_points(node)}
    points = []
    for number in range(node.GetNumberOfControlPoints()):
        name = node.GetNthControlPointLabel(number).strip()
        if node.GetNthControlPointPositionStatus(number) != _DEFINED:
            points.append(Point(name, None))
            continue
        world, local = [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]
        node.GetNthControlPointPositionWorld(number, world)
        volume.TransformPointFromWorld(world, local)
        x, y = plane.pixel(local)
        if not plane.holds(x, y):
            raise PointsError(
                f"The landmark {name!r} lies beside the image, at column {x:.0f} and row {y:.0f} of {plane.width} x "
                f"{plane.height}: move it onto the image, or mark it as missing."
            )
        point = Point(name, ras_to_lps(plane.ras(x, y)), (x, y))
        before = found.get(name)
        if before is not None and not has_moved(point, before, plane):
            point = replace(before, lps=point.lps, pixel=point.pixel)
        points.append(point)
    return tuple(points)


def found_points(node: Any) -> tuple[Point, ...]:
    """The points that a node was filled with, before the user moved any; none where it was not filled."""
    try:
        return tuple(
            Point(name, None if lps is None else tuple(lps), None, confidence, error, unit)
            for name, lps, confidence, error, unit in json.loads(node.GetAttribute(FOUND_ATTRIBUTE) or "[]")
        )
    except (TypeError, ValueError):
        return ()


def changed_names(points: Sequence[Point], found: Sequence[Point], plane: ImagePlane) -> tuple[str, ...]:
    """The names of the points that the user moved, placed or unset since they were found."""
    before = {point.name: point for point in found}
    return tuple(
        point.name for point in points if point.name not in before or has_moved(point, before[point.name], plane)
    )


def has_moved(point: Point, before: Point, plane: ImagePlane) -> bool:
    """Whether a point is elsewhere on the image than before, or missing only once."""
    if point.lps is None or before.lps is None:
        return (point.lps is None) != (before.lps is None)
    here, there = (plane.pixel(lps_to_ras(place)) for place in (point.lps, before.lps))
    return max(abs(here[0] - there[0]), abs(here[1] - there[1])) > _MOVED


def _check_place(point: Point, plane: ImagePlane) -> None:
    if point.lps is None or point.pixel is None:
        return
    x, y = plane.pixel(lps_to_ras(point.lps))
    if max(abs(x - point.pixel[0]), abs(y - point.pixel[1])) > _AGREE:
        raise PointsError(
            f"3D Slicer places the pixels of this image elsewhere than the server (the landmark {point.name!r} would "
            f"lie at column {x:.1f} and row {y:.1f}, not {point.pixel[0]:.1f} and {point.pixel[1]:.1f}): load it "
            "from the server's list."
        )


def _dump(points: Sequence[Point]) -> str:
    """What a node remembers of the points that it was filled with; :func:`found_points` reads it."""
    return json.dumps(
        [[point.name, point.lps, point.confidence, point.expected_error, point.error_unit] for point in points]
    )
