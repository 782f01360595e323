"""An image with its landmarks as the page draws it."""

from __future__ import annotations

from typing import Any

import numpy as np
from markupsafe import Markup

from bundle.report.records import ReportCase
from bundle.writers.overlay import confidence_colour


def shown_size(case: ReportCase) -> tuple[float, float]:
    """Width and height at which an image has its true proportions, in pixels of its finer axis."""
    across, down = _stretch(case)
    return case.width * across, case.height * down


def viewer_data(case: ReportCase, errors: np.ndarray, expected: np.ndarray) -> dict[str, Any]:
    """What the page's viewer needs of an image, as JSON values.

    Args:
        case: the image.
        errors: (N,) errors in the unit of the report.
        expected: (N,) expected errors in the same unit.

    Returns:
        ``id``, ``size`` and lists of one entry a landmark: ``p`` and ``t`` (place found and true place, in the
        coordinates of :func:`shown_size`, whose 0 is the edge of the image), ``c`` confidence, ``k`` its colour,
        ``e`` error, ``x`` expected error; null where unknown, and -1 for the error of a landmark that was not found.
    """
    return {
        "id": case.image_id,
        "size": [round(side, 2) for side in shown_size(case)],
        "p": _places(case, case.points),
        "t": None if case.truth is None else _places(case, case.truth),
        "c": [_rounded(value, 3) for value in case.confidence],
        "k": [_hex(value) for value in case.confidence],
        "e": [-1 if np.isinf(value) else _rounded(value, 3) for value in errors],
        "x": [_rounded(value, 3) for value in expected],
    }


def card_marks(case: ReportCase) -> Markup:
    """The landmarks of an image as marks of an SVG with the coordinates of :func:`shown_size`."""
    unit = max(shown_size(case)) / 115
    marks = []
    found, true = _places(case, case.points), None if case.truth is None else _places(case, case.truth)
    for index, place in enumerate(found):
        target = None if true is None else true[index]
        if place is not None and target is not None:
            marks.append(Markup('<path class="m-link" d="M{} {}L{} {}"/>').format(*place, *target))
    for target in true or ():
        if target is not None:
            x, y = target
            arm = round(unit * 0.9, 2)
            marks.append(
                Markup('<path class="m-true" d="M{0} {1}h{2}M{3} {4}v{2}"/>').format(
                    round(x - arm, 2), y, round(2 * arm, 2), x, round(y - arm, 2)
                )
            )
    for index, place in enumerate(found):
        if place is not None:
            marks.append(
                Markup('<circle class="m-found" cx="{}" cy="{}" r="{}" fill="{}"/>').format(
                    *place, round(unit, 2), _hex(case.confidence[index])
                )
            )
    return Markup("").join(marks)


def _stretch(case: ReportCase) -> tuple[float, float]:
    if case.spacing is None:
        return 1.0, 1.0
    finest = min(case.spacing)
    return case.spacing[0] / finest, case.spacing[1] / finest


def _places(case: ReportCase, points: np.ndarray) -> list[list[float] | None]:
    """Points, (N, 2), from the edge of the image on; a pixel's centre lies half a pixel from its edge."""
    moved = (points + 0.5) * _stretch(case)
    return [[round(float(x), 2), round(float(y), 2)] if np.isfinite([x, y]).all() else None for x, y in moved]


def _rounded(value: float, digits: int) -> float | None:
    return round(float(value), digits) if np.isfinite(value) else None


def _hex(confidence: float) -> str:
    return "#{:02x}{:02x}{:02x}".format(*confidence_colour(float(confidence)))
