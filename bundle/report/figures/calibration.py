"""Whether the expected error is the true one."""

from __future__ import annotations

import numpy as np

from bundle.report.axes import Scale, frame_below, frame_left, round_up
from bundle.report.drawing import Box, Disc, Dots, Drawing, Label, Line
from bundle.report.figures.figure import WIDTH, Figure
from bundle.report.statistics import bins_of_equal_count, rank_correlation

_HEIGHT = 320.0
_CLOUD = 1500


def calibration_plot(expected: np.ndarray, errors: np.ndarray, unit: str) -> Figure | None:
    """Draw the true error over the error that the model expected.

    Args:
        expected: (M, N) calibrated expectations in ``unit``; NaN where there is none.
        errors: (M, N) true errors in ``unit``.
        unit: ``"mm"`` or ``"px"``.

    Returns:
        The figure; None where no point has both.
    """
    groups = bins_of_equal_count(expected, errors)
    if not groups:
        return None
    known = np.isfinite(expected) & np.isfinite(errors)
    guess, error = expected[known], errors[known]
    end = round_up(1.15 * max(max(group.predicted, group.mean) for group in groups))
    drawing = Drawing(WIDTH, _HEIGHT, "True error by expected error", "")
    x, y = Scale(0, end, 62, WIDTH - 16), Scale(0, end, _HEIGHT - 50, 16)
    frame_left(drawing, y, 62, WIDTH - 16, f"true error, {unit}")
    frame_below(drawing, x, 16, y.start, f"expected error, {unit}", grid=False)
    drawing.add(Line(np.array([(x.start, y.start), (x.end, y.end)]), "ideal"))
    drawn = np.flatnonzero((guess <= end) & (error <= end))
    drawn = drawn[np.linspace(0, len(drawn) - 1, min(len(drawn), _CLOUD)).astype(int)] if len(drawn) else drawn
    drawing.add(Dots(np.stack([x(guess[drawn]), y(error[drawn])], axis=1), 1.8, "cloud"))
    line = np.array([(x(group.predicted), y(group.mean)) for group in groups])
    drawing.add(Line(line, "curve"))
    for group in groups:
        drawing.add(Disc(x.at(group.predicted), y.at(group.mean), 4.5, "curve_point"))
    drawing.add(Label(float(x(0.70 * end)), float(y(0.70 * end)) - 16, "as expected", "title", "end"))
    edges = [x.start, *((one + other) / 2 for one, other in zip(line[:, 0], line[1:, 0])), x.end]
    for group, left, right in zip(groups, edges, edges[1:]):
        tip = f"expected {group.predicted:.2f} {unit}, true {group.mean:.2f} {unit} on average ({group.count} points)"
        drawing.add(Box(left, 16, max(0.0, right - left), y.start - 16, "hit", tip))
    gap = float(np.average([abs(g.mean - g.predicted) for g in groups], weights=[g.count for g in groups]))
    told = f"Mean gap between the two in {len(groups)} groups: {gap:.2f} {unit}."
    correlation = rank_correlation(guess, error)
    if correlation is not None:
        told += f" Rank correlation of single points: {correlation:.2f}."
    drawing.description = told
    return Figure(
        "calibration",
        drawing,
        f"Points in groups of equal number by what the model expected; on the dashed line it is right. {told}",
        (f"Expected {unit}", f"True mean {unit}", f"True median {unit}", "Points"),
        [(f"{g.predicted:.2f}", f"{g.mean:.2f}", f"{g.median:.2f}", str(g.count)) for g in groups],
    )
