"""The figures of a report: how they look, arrays to charts, and how one gets into the page, in light and dark."""

import io
import math
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from markupsafe import Markup
from matplotlib import cbook
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bundle.errors import one_line
from bundle.metrics.calibration import FEW_IMAGES, bins_of_equal_count, rank_correlation, risk_coverage
from bundle.metrics.error_summary import detection_rate

#: Colours by name on a light ground. Text and lines that carry meaning keep the contrast of WCAG 2.2 AA.
LIGHT: dict[str, str] = {
    "ground": "#f4f6f8",
    "card": "#ffffff",
    "raised": "#eef2f6",
    "ink": "#17212b",
    "muted": "#55606d",
    "line": "#d9dfe6",
    "grid": "#e6eaef",
    "axis": "#8a95a2",
    "accent": "#0b63a5",
    "accent-soft": "#c4dcf0",
    "second": "#a6366f",
    "quiet": "#8792a0",
    "bad": "#b3261e",
}

#: The same names on a dark ground.
DARK: dict[str, str] = {
    "ground": "#0e1318",
    "card": "#161d24",
    "raised": "#202932",
    "ink": "#e8edf2",
    "muted": "#a3afbb",
    "line": "#2e3843",
    "grid": "#252e37",
    "axis": "#6d7986",
    "accent": "#63b3f2",
    "accent-soft": "#234a69",
    "second": "#f08fc0",
    "quiet": "#7f8b98",
    "bad": "#ff8a80",
}

#: Width of the figures in units, which are pixels: where a telephone shows them, letters are still large enough.
WIDTH = 460.0
_HEIGHT = 320.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 62.0, 16.0, 16.0, 50.0

#: Settings of matplotlib; the stubs of its versions know different keys.
STYLE: Any = {
    "text.parse_math": False,  # a dollar in a landmark's name is a dollar
    "font.size": 11.5,
    "text.color": LIGHT["muted"],
    "axes.autolimit_mode": "round_numbers",
    "axes.axisbelow": True,
    "axes.edgecolor": LIGHT["axis"],
    "axes.labelcolor": LIGHT["muted"],
    "axes.labelpad": 9,
    "axes.linewidth": 1,
    "axes.prop_cycle": cycler(color=[LIGHT["accent"]]),
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.xmargin": 0,
    "axes.ymargin": 0,
    "grid.color": LIGHT["grid"],
    "grid.linewidth": 1,
    "lines.color": LIGHT["accent"],
    "lines.linewidth": 2.25,
    "lines.markeredgecolor": LIGHT["card"],
    "lines.markeredgewidth": 1.5,
    "lines.markersize": 9,
    "lines.scale_dashes": False,
    "xtick.labelcolor": LIGHT["muted"],
    "xtick.major.size": 0,
    "xtick.major.pad": 7,
    "ytick.labelcolor": LIGHT["muted"],
    "ytick.major.size": 0,
    "ytick.major.pad": 8,
}


@dataclass(frozen=True)
class ReportFigure:
    """A figure of a report.

    Attributes:
        key: its name, of lower-case letters and hyphens.
        picture: what is drawn, in the light colours.
        title: what it shows, in a few words.
        description: the same in a sentence or two with the main numbers, for who cannot see it.
        caption: how it is read, in a sentence or two.
        header: head of the table with the same numbers.
        rows: that table, for who cannot see the figure, and for copying.
    """

    key: str
    picture: Figure
    title: str
    description: str
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def chart(x: str, y: str = "", *, height: float = _HEIGHT, left: float = _LEFT) -> tuple[Figure, Axes]:
    """An empty chart with titles of its axes; sizes in units."""
    figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)
    box = (left / WIDTH, _BOTTOM / height, 1 - (left + _RIGHT) / WIDTH, 1 - (_TOP + _BOTTOM) / height)
    axes = figure.add_axes(box, xlabel=x, ylabel=y)
    axes.grid(axis="y" if y else "x")
    axes.locator_params(nbins=6)
    return figure, axes


def round_end(value: float) -> float:
    """The round number at which an axis from 0 ends that is to hold a value."""
    ticks = MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]).tick_values(0, max(value, 1e-6))
    return float(ticks[-1])


def as_svg(figure: ReportFigure) -> Markup:
    """A figure as elements for an ``svg`` of the page.

    Returns:
        Elements without styles of their own, which the page's content security policy forbids, in the custom properties
        of the page (``--<name>``) for the colours of :data:`LIGHT`, and in the page's font. Other colours stay.
    """
    file = io.StringIO()
    with mpl.rc_context({**STYLE, "svg.fonttype": "none", "svg.hashsalt": figure.key}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # the page has other fonts
        figure.picture.savefig(file, format="svg")
    svg = file.getvalue()
    body = svg[svg.index('<g id="figure') : svg.rindex("</svg>")].replace("xlink:href", "href")
    body = re.sub(r'<g id="[^"]*"', "<g", body)  # they would not be unique on the page
    return Markup(re.sub(r' style="([^"]*)"', _attributes, body))


def _attributes(style: re.Match[str]) -> str:
    """The declarations of a ``style`` as attributes; the page's font and the browser's way to scale pictures count."""
    pairs = dict(re.findall(r"([a-z-]+): ?([^;]+)", style[1]))
    return "".join(
        f' {name}="{_PROPERTIES.get(value, value)}"'
        for name, value in pairs.items()
        if name not in ("font-family", "image-rendering")
    )


_PROPERTIES = {colour: f"var(--{name})" for name, colour in LIGHT.items()}


#: A chart of more boxes would be taller than anyone scrolls; the table below it has them all.
MAX_BOXES = 60
_ROW = 21.0
_NAME = 26  # letters of a name

_IDEAL: dict[str, Any] = {"color": LIGHT["quiet"], "linewidth": 1.5, "linestyle": (0, (4, 4))}
_VALUE: dict[str, Any] = {"color": LIGHT["accent"], "weight": "bold"}
_BOX: dict[str, Any] = {"facecolor": LIGHT["accent-soft"], "edgecolor": LIGHT["accent"], "linewidth": 1}


def detection_curve(errors: np.ndarray, unit: str, radii: Sequence[float]) -> ReportFigure | None:
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
    end = round_end(max(np.percentile(finite, 97), 1.25 * max(marked, default=0.0)))
    figure, axes = chart(f"radius, {unit}", "points within the radius, %")
    axes.set(xlim=(0, end), ylim=(0, 100))
    steps = np.linspace(0, end, 201)
    rates = detection_rate(errors, steps)
    axes.fill_between(steps, rates, alpha=0.1, linewidth=0)
    axes.plot(steps, rates)
    at_marked = detection_rate(errors, marked)
    axes.vlines(marked, 0, at_marked, color=LIGHT["second"], linewidth=1.25, linestyle=(0, (3, 3)))
    axes.plot(marked, at_marked, "o", clip_on=False)
    # Below the curve, at the right, is room for the rates themselves.
    for line, (radius, rate) in enumerate(reversed(list(zip(marked, at_marked))[:6])):
        place: dict[str, Any] = {
            "y": (16 + 19 * line) / 254,
            "transform": axes.transAxes,
            "ha": "right",
            "va": "center",
        }
        axes.text(0.83, s=f"{radius:g} mm", **place)
        axes.text(0.98, s=f"{rate:.1f} %", **place, **_VALUE)
    listed = marked or np.linspace(end / 8, end, 8)
    rows = [(f"{round(r, 3):g} {unit}", f"{rate:.1f} %") for r, rate in zip(listed, detection_rate(errors, listed))]
    return ReportFigure(
        "detection-curve",
        figure,
        "Successful detection rate by radius",
        "Share of points within " + ", ".join(f"{radius}: {rate}" for radius, rate in rows) + ".",
        "Share of all points that lie nearer to the truth than a radius. The dashed lines are the radii of the table.",
        ("Radius", "Points within"),
        rows,
    )


def risk_plot(errors: np.ndarray, confidence: np.ndarray, unit: str) -> ReportFigure | None:
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
    count = len(curve.risk)
    first = min(count - 1, max(4, count // 50))  # the mean of a handful of points says nothing
    drawn = np.unique(np.linspace(first, count - 1, 300).round().astype(int))
    covered, risk, ideal = 100 * curve.coverage[drawn], curve.risk[drawn], curve.ideal[drawn]
    figure, axes = chart("points kept, the surest first, %", f"mean error of the points kept, {unit}")
    axes.set(xlim=(0, 100), ylim=(0, round_end(1.08 * max(risk.max(), ideal.max()))))
    axes.plot(covered, ideal, **_IDEAL)
    axes.plot(covered, risk)
    middle = len(drawn) // 2
    near: dict[str, Any] = {"textcoords": "offset points", "va": "center"}
    axes.annotate("by confidence", (covered[middle], risk[middle]), (-8, 12), **near, ha="right", **_VALUE)
    axes.annotate("best possible", (covered[middle], ideal[middle]), (8, -15), **near)
    rows = [
        (f"{share:.0%}".replace("%", " %"), f"{curve.risk[i]:.2f}", f"{curve.ideal[i]:.2f}")
        for share in (0.5, 0.7, 0.8, 0.9, 0.95, 1.0)
        for i in [curve.place(share)]
    ]
    return ReportFigure(
        "risk-coverage",
        figure,
        "Mean error by share of points kept",
        f"With all points the mean error is {curve.risk[-1]:.2f} {unit}; with the surest 90 % it is {rows[3][1]}, with "
        f"the surest half {rows[0][1]} {unit}.",
        "Mean error when only the points of highest confidence are kept. The nearer to the dashed line, which leaves "
        f"out the truly worst, the better the confidence ranks. Mean of the curve (AURC): {curve.area:.2f} {unit}.",
        ("Points kept", f"Mean error {unit}", f"Best possible {unit}"),
        rows,
    )


def calibration_plot(expected: np.ndarray, errors: np.ndarray, unit: str) -> ReportFigure | None:
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
    end = round_end(1.15 * max(max(group.predicted, group.mean) for group in groups))
    figure, axes = chart(f"expected error, {unit}", f"true error, {unit}")
    axes.set(xlim=(0, end), ylim=(0, end))
    axes.plot([0, end], [0, end], **_IDEAL)
    inside = np.flatnonzero((expected <= end) & (errors <= end))
    inside = inside[np.unique(np.linspace(0, len(inside) - 1, 1500).astype(int))] if len(inside) else inside
    axes.plot(expected.flat[inside], errors.flat[inside], "o", markersize=3.6, markeredgewidth=0, alpha=0.16)
    predicted, mean = [group.predicted for group in groups], [group.mean for group in groups]
    axes.plot(predicted, mean, "o-", clip_on=False)
    axes.annotate("as expected", (0.7 * end, 0.7 * end), (0, 16), textcoords="offset points", ha="right", va="center")
    gap = np.average([abs(g.mean - g.predicted) for g in groups], weights=[g.count for g in groups])
    told = f"Mean gap between the two in {len(groups)} groups: {gap:.2f} {unit}."
    correlation = rank_correlation(expected, errors)
    if not math.isnan(correlation):
        told += f" Rank correlation of single points: {correlation:.2f}."
    few = f" Only {len(errors)} images: this says little." if len(errors) < FEW_IMAGES else ""
    return ReportFigure(
        "calibration",
        figure,
        "True error by expected error",
        told,
        f"Points in groups of equal number by what the model expected; on the dashed line it is right. {told}{few}",
        (f"Expected {unit}", f"True mean {unit}", f"True median {unit}", "Points"),
        [(f"{g.predicted:.2f}", f"{g.mean:.2f}", f"{g.median:.2f}", str(g.count)) for g in groups],
    )


def box_plot(values: np.ndarray, names: Sequence[str], quantity: str, unit: str = "") -> ReportFigure | None:
    """Draw the distribution of a quantity for each landmark, the worst median first; on a narrow range of confidences.

    Args:
        values: (M, N), in ``unit``; NaN where unknown, infinite where a landmark was not found.
        names: N landmark names.
        quantity: an error, of which much is bad, or ``"confidence"``, of which little is.
        unit: their unit; empty for none.

    Returns:
        The figure; None where there is no value.
    """
    known = [column[np.isfinite(column)] for column in values.T]
    boxes: list[dict[str, Any]] = [
        {**cbook.boxplot_stats(column)[0], "label": name, "count": len(column)}
        for name, column in zip(names, known)
        if len(column)
    ]
    if not boxes:
        return None
    sure = quantity == "confidence"
    boxes.sort(key=lambda box: box["med"] if sure else -box["med"])
    shown = boxes[:MAX_BOXES]
    # room for every box with its whiskers, and for outliers a fifth of that again; others stand at the ends
    end = 1.0 if sure else round_end(1.2 * max(max(box["whishi"], box["mean"]) for box in shown))
    # the tenth below, also where all are 1
    start = math.floor(9.9 * min(box["whislo"] for box in shown)) / 10 if sure else 0.0
    left = 24 + min(_NAME, max(len(box["label"]) for box in shown)) * 6.3
    label = f"{quantity}, {unit}" if unit else quantity
    figure, axes = chart(label, height=66 + _ROW * len(shown), left=left)
    axes.bxp(
        [{**box, "fliers": box["fliers"].clip(start, end), "label": _short(box["label"])} for box in shown],
        orientation="horizontal",
        positions=range(len(shown)),
        widths=0.58,
        patch_artist=True,
        showmeans=True,
        showcaps=False,
        boxprops=_BOX,
        whiskerprops={"color": LIGHT["axis"], "linewidth": 1.25},
        medianprops={"color": LIGHT["accent"], "linewidth": 2.25},
        meanprops={
            "marker": "o",
            "markersize": 6.4,
            "markerfacecolor": LIGHT["card"],
            "markeredgecolor": LIGHT["second"],
        },
        flierprops={
            "markersize": 4,
            "markeredgewidth": 0,
            "markerfacecolor": LIGHT["quiet"],
            "alpha": 0.55,
            "clip_on": False,
        },
    )
    axes.set(xlim=(start, end), ylim=(len(shown) - 0.5, -0.5))
    axes.tick_params(axis="y", labelcolor=LIGHT["ink"], labelsize=10.5)
    caption = (
        "Box: middle half; line: median; ring: mean; whiskers reach at most 1.5 boxes; dots: single images beyond."
    )
    if len(boxes) > len(shown):
        caption += f" Only the {len(shown)} worst of {len(boxes)} landmarks are drawn; the table has all."
    suffix = f" {unit}" if unit else ""
    return ReportFigure(
        "landmarks",
        figure,
        f"{quantity.capitalize()} of each landmark",
        f"Median {quantity} from {boxes[0]['med']:.2f}{suffix} for {boxes[0]['label']}, the worst, to "
        f"{boxes[-1]['med']:.2f}{suffix} for {boxes[-1]['label']}, the best of {len(boxes)} landmarks.",
        caption,
        ("Landmark", "Points", f"Median{suffix}", f"Mean{suffix}", "Lower quartile", "Upper quartile"),
        [
            (box["label"], str(box["count"]), *(f"{box[key]:.2f}" for key in ("med", "mean", "q1", "q3")))
            for box in boxes
        ],
    )


def _short(name: str) -> str:
    """A name of no more than so many letters; what is left out is from its middle, for ends often tell names apart."""
    name, half = one_line(name), _NAME // 2
    return name if len(name) <= _NAME else f"{name[:half]}…{name[-half + 1 :]}"
