"""What a confidence is worth, where the model has no calibrated error."""

from __future__ import annotations

import numpy as np

from bundle.report.axes import Scale, frame_left, number, round_up
from bundle.report.drawing import Box, Drawing, Label, Line
from bundle.report.figures.figure import WIDTH, Figure
from bundle.report.statistics import bins_of_equal_count, rank_correlation

_HEIGHT = 320.0


def confidence_bars(confidence: np.ndarray, errors: np.ndarray, unit: str) -> Figure | None:
    """Draw the mean true error in groups of points of about the same confidence.

    Args:
        confidence: (M, N), 0 to 1.
        errors: (M, N) true errors in ``unit``.
        unit: ``"mm"`` or ``"px"``.

    Returns:
        The figure; None where there is no error.
    """
    groups = bins_of_equal_count(confidence, errors, bins=8)
    if not groups:
        return None
    drawing = Drawing(WIDTH, _HEIGHT, "True error by confidence", "")
    left, right, bottom = 62.0, WIDTH - 16, _HEIGHT - 50
    y = Scale(0, round_up(1.12 * max(max(group.mean for group in groups), 1e-6)), bottom, 16)
    frame_left(drawing, y, left, right, f"mean error, {unit}")
    slot = (right - left) / len(groups)
    for index, group in enumerate(groups):
        start = left + slot * index
        top = y.at(group.mean)
        drawing.add(
            Box(start + slot * 0.16, top, slot * 0.68, bottom - top, "bar"),
            Line(
                np.array([(start + slot * 0.16, y.at(group.median)), (start + slot * 0.84, y.at(group.median))]),
                "median",
            ),
            Label(start + slot / 2, top - 9, f"{group.mean:.2f}", "tick", "middle"),
            Label(start + slot / 2, bottom + 14, f"{group.predicted:.2f}", "tick", "middle"),
        )
        tip = (
            f"confidence {group.low:.2f} to {group.high:.2f}: mean error {group.mean:.2f}, median {group.median:.2f} "
            f"{unit} ({group.count} points)"
        )
        drawing.add(Box(start, 16, slot, bottom - 16, "hit", tip))
    drawing.add(
        Line(np.array([(left, bottom), (right, bottom)]), "axis"),
        Label((left + right) / 2, bottom + 34, "mean confidence of the group", "title", "middle"),
    )
    correlation = rank_correlation(confidence, errors)
    told = (
        f"Rank correlation of confidence and error: {number(round(correlation, 2))}." if correlation is not None else ""
    )
    drawing.description = (
        f"Mean error {groups[0].mean:.2f} {unit} in the least sure group, {groups[-1].mean:.2f} {unit} in the surest. "
        f"{told}"
    ).strip()
    return Figure(
        "confidence",
        drawing,
        f"Points in groups of equal number by confidence; the thick line is the median. {told} This model has no "
        "calibrated error, so the confidence only ranks.",
        ("Confidence", f"Mean error {unit}", f"Median {unit}", "Points"),
        [(f"{g.low:.2f} to {g.high:.2f}", f"{g.mean:.2f}", f"{g.median:.2f}", str(g.count)) for g in groups],
    )
