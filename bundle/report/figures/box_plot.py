"""One box for each landmark."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bundle.report.axes import Scale, frame_below, round_up
from bundle.report.drawing import Box, Disc, Dots, Drawing, Label, Line
from bundle.report.figures.figure import WIDTH, Figure
from bundle.report.statistics import BoxSummary, box_summary

#: A chart of more boxes would be taller than anyone scrolls; the table below it has them all.
MAX_BOXES = 60

_ROW = 21.0
_NAME = 16  # letters of a name


def box_plot(
    values: np.ndarray,
    names: Sequence[str],
    *,
    quantity: str,
    unit: str,
    worst_is_high: bool,
    limits: tuple[float, float] | None = None,
) -> Figure | None:
    """Draw the distribution of a quantity for each landmark, the worst median first.

    Args:
        values: (M, N), in ``unit``; NaN where unknown, infinite where a landmark was not found.
        names: N landmark names.
        quantity: what the values are, such as ``"error"``.
        unit: their unit; empty for none.
        worst_is_high: whether high values are the bad ones.
        limits: ends of the axis; None lets the values decide, and values beyond the end are drawn at the end.

    Returns:
        The figure; None where there is no value.
    """
    summaries = [box_summary(column) for column in values.T]
    told = [(name, box) for name, box in zip(names, summaries) if box is not None]
    if not told:
        return None
    told.sort(key=lambda pair: -pair[1].median if worst_is_high else pair[1].median)
    shown = told[:MAX_BOXES]
    low, high = limits or (0.0, round_up(_end_of(shown)))
    label = f"{quantity}, {unit}" if unit else quantity
    left = 16.0 + min(_NAME, max(len(name) for name, _ in shown)) * 7.3 + 8
    bottom = 16 + _ROW * len(shown)
    drawing = Drawing(WIDTH, bottom + 50, f"{quantity.capitalize()} of each landmark", "")
    x = Scale(low, high, left, WIDTH - 18)
    frame_below(drawing, x, 12, bottom, label)
    for index, (name, box) in enumerate(shown):
        _draw_box(drawing, x, 16 + _ROW * (index + 0.5), name, box, unit)
    worst, best = told[0], told[-1]
    drawing.description = (
        f"Median {quantity} from {worst[1].median:.2f} {unit} for {worst[0]}, the worst, to "
        f"{best[1].median:.2f} {unit} for {best[0]}, the best of {len(told)} landmarks."
    )
    caption = (
        "Box: middle half; line: median; ring: mean; whiskers reach at most 1.5 boxes; dots: single images beyond."
    )
    if len(told) > len(shown):
        caption += f" Only the {len(shown)} worst of {len(told)} landmarks are drawn; the table has all."
    rows = [
        (name, str(box.count), f"{box.median:.2f}", f"{box.mean:.2f}", f"{box.first:.2f}", f"{box.third:.2f}")
        for name, box in told
    ]
    suffix = f" {unit}" if unit else ""
    header = ("Landmark", "Points", f"Median{suffix}", f"Mean{suffix}", "Lower quartile", "Upper quartile")
    return Figure("landmarks", drawing, caption, header, rows)


def _draw_box(drawing: Drawing, x: Scale, middle: float, name: str, box: BoxSummary, unit: str) -> None:
    short = name if len(name) <= _NAME else name[: _NAME - 1] + "…"
    drawing.add(Label(x.start - 10, middle, short, "name", "end"))
    half = _ROW * 0.29
    drawing.add(
        Line(np.array([(x.at(box.low), middle), (x.at(box.first), middle)]), "whisker"),
        Line(np.array([(x.at(box.third), middle), (x.at(box.high), middle)]), "whisker"),
    )
    if box.outliers.size:
        places = [(x.at(float(value)), middle) for value in box.outliers]
        drawing.add(Dots(np.array(places), 2.0, "outlier"))
    left, right = x.at(box.first), x.at(box.third)
    drawing.add(
        Box(left, middle - half, max(1.0, right - left), 2 * half, "box"),
        Line(np.array([(x.at(box.median), middle - half), (x.at(box.median), middle + half)]), "median"),
        Disc(x.at(box.mean), middle, 3.2, "mean"),
    )
    tip = (
        f"{name}: median {box.median:.2f}, mean {box.mean:.2f}, middle half {box.first:.2f} to {box.third:.2f} {unit}"
        f" ({box.count} points"
    )
    tip += f", {box.lost} not found)" if box.lost else ")"
    drawing.add(Box(4, middle - _ROW / 2, x.end - 4, _ROW, "hit", tip))


def _end_of(shown: Sequence[tuple[str, BoxSummary]]) -> float:
    """Where the axis ends: every box with its whiskers, and as much room for outliers as half of that again."""
    reach = max(max(box.high, box.mean) for _, box in shown)
    farthest = max(float(box.outliers[-1]) if box.outliers.size else box.high for _, box in shown)
    return max(min(farthest, 1.5 * reach), reach, 1e-6) * 1.02
