"""The successful detection rate over all radii."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from bundle.report.axes import Scale, frame_below, frame_left, number, round_up
from bundle.report.drawing import Box, Disc, Drawing, Label, Line
from bundle.report.figures.figure import WIDTH, Figure
from bundle.report.statistics import detection_curve

_HEIGHT = 320.0


def detection_curve_plot(errors: np.ndarray, unit: str, radii: Sequence[float]) -> Figure | None:
    """Draw which share of the points is nearer to the truth than any radius (paper, section 3: SDR).

    Args:
        errors: (M, N) errors in ``unit``; NaN where unknown.
        unit: ``"mm"`` or ``"px"``.
        radii: radii in mm that are marked; none is marked where the unit is pixels.

    Returns:
        The figure; None where there is no error.
    """
    finite = errors[np.isfinite(errors)]
    if not finite.size:
        return None
    marked = sorted(radii) if unit == "mm" else []
    end = round_up(max(np.percentile(finite, 97), 1.25 * max(marked, default=0.0), 1e-6))
    drawing = Drawing(WIDTH, _HEIGHT, "Successful detection rate by radius", "")
    x, y = Scale(0, end, 62, WIDTH - 16), Scale(0, 100, _HEIGHT - 50, 16)
    frame_left(drawing, y, 62, WIDTH - 16, "points within the radius, %")
    frame_below(drawing, x, 16, y.start, f"radius, {unit}", grid=False)
    steps = np.linspace(0, end, 201)
    rates = detection_curve(errors, steps)
    line = np.stack([x(steps), y(rates)], axis=1)
    drawing.add(
        Line(np.concatenate([[(x.start, y.start)], line, [(x.end, y.start)]]), "curve_area", closed=True),
        Line(line, "curve"),
    )
    at_marked = detection_curve(errors, np.array(marked))
    for radius, rate in zip(marked, at_marked):
        drawing.add(Line(np.array([(x(radius), y.start), (x(radius), y(rate))]), "reach"))
    for radius, rate in zip(marked, at_marked):
        drawing.add(Disc(float(x(radius)), float(y(rate)), 4.5, "curve_point"))
    # Below the curve, at the right, is room for the rates themselves.
    for line_number, (radius, rate) in enumerate(zip(marked[:6][::-1], at_marked[:6][::-1])):
        height = y.start - 16 - 19 * line_number
        drawing.add(
            Label(x.end - 66, height, f"{number(radius)} mm", "title", "end"),
            Label(x.end - 8, height, f"{rate:.1f} %", "value", "end"),
        )
    bands = np.linspace(0, end, 41)
    for low, high in pairwise(bands):
        middle = (low + high) / 2
        rate = detection_curve(errors, np.array([middle]))[0]
        left, right = float(x(low)), float(x(high))
        drawing.add(Box(left, 16, right - left, y.start - 16, "hit", f"within {middle:.2f} {unit}: {rate:.1f} %"))
    listed = np.array(marked if marked else np.linspace(end / 8, end, 8))
    told = [
        (f"{number(round(float(r), 3))} {unit}", f"{v:.1f} %") for r, v in zip(listed, detection_curve(errors, listed))
    ]
    drawing.description = "Share of points within " + ", ".join(f"{radius}: {rate}" for radius, rate in told) + "."
    return Figure(
        "detection-curve",
        drawing,
        "Share of all points that lie nearer to the truth than a radius. The dashed lines are the radii of the table.",
        ("Radius", "Points within"),
        told,
    )
