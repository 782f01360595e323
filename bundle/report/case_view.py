"""An image with its landmarks as the page draws it."""

from __future__ import annotations

from typing import Any

import numpy as np
from markupsafe import Markup

from bundle.records.prediction import LandmarkPrediction
from bundle.writers.overlay import confidence_colours
from bundle.writers.panel import said


def shown_size(case: LandmarkPrediction) -> tuple[float, float]:
    """Width and height at which an image has its true proportions, in pixels of its finer axis."""
    across, down = _stretch(case).tolist()
    return case.width * across, case.height * down


def viewer_data(
    case: LandmarkPrediction, truth: np.ndarray | None, errors: np.ndarray, expected: np.ndarray
) -> dict[str, Any]:
    """What the page's viewer needs of an image, as JSON values.

    Args:
        case: the image.
        truth: (N, 2), its true points; None where there are none.
        errors: (N,) errors in the unit of the report.
        expected: (N,) expected errors in the same unit.

    Returns:
        ``id``, ``pose`` (what there is to say of it), ``size`` and lists of one entry a landmark: ``p`` and ``t``
        (place found and true place, in the coordinates of :func:`shown_size`, whose 0 is the edge of the image), ``c``
        confidence, ``k`` its colour, ``e`` error, ``x`` expected error; null where unknown, and -1 for the error of a
        landmark that was not found.
        ``m`` has for each measurement its name, its value in words, its class or what else is said of it, and whether
        it lies outside its normal range.
    """
    return {
        "id": case.image_id,
        "pose": case.pose.words(),
        "size": [round(side, 2) for side in shown_size(case)],
        "p": _places(case, case.points),
        "t": None if truth is None else _places(case, truth),
        "c": _rounded(case.confidence),
        "k": _colours(case),
        "e": _rounded(np.where(np.isinf(errors), -1, errors)),
        "x": _rounded(expected),
        "m": [[value.name, *said(value), value.normal is False] for value in case.measurements],
    }


def card_marks(case: LandmarkPrediction, truth: np.ndarray | None) -> Markup:
    """The landmarks of an image as marks of an SVG with the coordinates of :func:`shown_size`."""
    unit = max(shown_size(case)) / 115
    found = _places(case, case.points)
    true = [None] * len(found) if truth is None else _places(case, truth)
    links = [
        Markup('<path class="m-link" d="M{} {}L{} {}"/>').format(*place, *target)
        for place, target in zip(found, true)
        if place and target
    ]
    arm = round(unit * 0.9, 2)
    crosses = [
        Markup('<path class="m-true" d="M{x} {y}m-{a} 0h{b}m-{a} -{a}v{b}"/>').format(x=x, y=y, a=arm, b=2 * arm)
        for x, y in filter(None, true)
    ]
    discs = [
        Markup('<circle class="m-found" cx="{}" cy="{}" r="{}" fill="{}"/>').format(*place, round(unit, 2), colour)
        for place, colour in zip(found, _colours(case))
        if place
    ]
    return Markup("").join([*links, *crosses, *discs])


def _stretch(case: LandmarkPrediction) -> np.ndarray:
    return np.array(case.pixel_size) / min(case.pixel_size)


def _places(case: LandmarkPrediction, points: np.ndarray) -> list[list[float] | None]:
    """Points, (N, 2), from the edge of the image on; a pixel's centre lies half a pixel from its edge."""
    moved = ((points + 0.5) * _stretch(case)).round(2)
    known = np.asarray(np.isfinite(moved).all(axis=1))
    return [place if there else None for place, there in zip(moved.tolist(), known)]


def _rounded(values: np.ndarray) -> list[float | None]:
    return [value if known else None for value, known in zip(values.round(3).tolist(), np.isfinite(values).tolist())]


def _colours(case: LandmarkPrediction) -> list[str]:
    return ["#{:02x}{:02x}{:02x}".format(*colour) for colour in confidence_colours(case.confidence)]
