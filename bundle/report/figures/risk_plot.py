"""What leaving the unsure points out gains."""

from __future__ import annotations

import numpy as np

from bundle.report.axes import Scale, frame_below, frame_left, round_up
from bundle.report.drawing import Box, Drawing, Label, Line
from bundle.report.figures.figure import WIDTH, Figure
from bundle.report.statistics import risk_coverage

_HEIGHT = 320.0
_DRAWN = 300


def risk_plot(errors: np.ndarray, confidence: np.ndarray, unit: str) -> Figure | None:
    """Draw the mean error of the surest points over how many are kept.

    Args:
        errors: (M, N) errors in ``unit``.
        confidence: (M, N).
        unit: ``"mm"`` or ``"px"``.

    Returns:
        The figure; None where there is no error.
    """
    curve = risk_coverage(errors, confidence)
    if curve is None:
        return None
    # The mean of a handful of points says nothing.
    first = min(len(curve.risk) - 1, max(4, len(curve.risk) // 50))
    chosen = np.unique(np.linspace(first, len(curve.risk) - 1, _DRAWN).round().astype(int))
    covered, risk, ideal = 100 * curve.coverage[chosen], curve.risk[chosen], curve.ideal[chosen]
    drawing = Drawing(WIDTH, _HEIGHT, "Mean error by share of points kept", "")
    x = Scale(0, 100, 62, WIDTH - 16)
    y = Scale(0, round_up(1.08 * float(max(risk.max(), ideal.max(), 1e-6))), _HEIGHT - 50, 16)
    frame_left(drawing, y, 62, WIDTH - 16, f"mean error of the points kept, {unit}")
    frame_below(drawing, x, 16, y.start, "points kept, the surest first, %", grid=False)
    drawing.add(
        Line(np.stack([x(covered), y(ideal)], axis=1), "ideal"), Line(np.stack([x(covered), y(risk)], axis=1), "curve")
    )
    middle = len(chosen) // 2
    drawing.add(
        Label(float(x(covered[middle])) - 8, float(y(risk[middle])) - 12, "by confidence", "value", "end"),
        Label(float(x(covered[middle])) + 8, float(y(ideal[middle])) + 15, "best possible", "title"),
    )
    listed = []
    for low in np.linspace(0, 97.5, 40):
        share = (low + 1.25) / 100
        index = min(len(curve.risk) - 1, max(0, round(share * len(curve.risk)) - 1))
        if index >= first:
            left, right = float(x(low)), float(x(low + 2.5))
            tip = f"{100 * curve.coverage[index]:.0f} % kept: mean error {curve.risk[index]:.2f} {unit}"
            drawing.add(Box(left, 16, right - left, y.start - 16, "hit", tip))
    for share in (0.5, 0.7, 0.8, 0.9, 0.95, 1.0):
        index = max(0, round(share * len(curve.risk)) - 1)
        listed.append((f"{100 * share:.0f} %", f"{curve.risk[index]:.2f}", f"{curve.ideal[index]:.2f}"))
    drawing.description = (
        f"With all points the mean error is {curve.risk[-1]:.2f} {unit}; with the surest 90 % it is {listed[3][1]}, "
        f"with the surest half {listed[0][1]} {unit}."
    )
    return Figure(
        "risk-coverage",
        drawing,
        "Mean error when only the points of highest confidence are kept. The nearer to the dashed line, which leaves "
        f"out the truly worst, the better the confidence ranks. Mean of the curve (AURC): {curve.area:.2f} {unit}.",
        ("Points kept", f"Mean error {unit}", f"Best possible {unit}"),
        listed,
    )
