"""How the figures look, and how one gets into the page, where its colours follow light and dark."""

import io
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

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
class Tip:
    """What a pointer on a rectangle is told; the rectangle is in units from the upper left corner of the figure."""

    x: float
    y: float
    width: float
    height: float
    text: str


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
        tips: what a pointer is told.
    """

    key: str
    picture: Figure
    title: str
    description: str
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    tips: Sequence[Tip] = ()


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


def tip_bands(axes: Axes, edges: Sequence[float] | np.ndarray, texts: Iterable[str], upright: bool = True) -> list[Tip]:
    """Tips that fill a chart from side to side.

    Args:
        axes: the chart.
        edges: K + 1 places on the horizontal axis from left to right, or on the vertical one from top to bottom.
        texts: K texts; an empty one tells nothing.
        upright: whether the bands stand side by side along the horizontal axis, else one below the other.
    """
    height = axes.figure.bbox.height
    (_, bottom), (right, top) = axes.bbox.get_points()
    places = axes.transData.transform(np.repeat(np.array(edges, dtype=float)[:, None], 2, axis=1))
    found = []
    for (x, y), (next_x, next_y), text in zip(places, places[1:], texts):
        if not text:
            continue
        if upright:
            found.append(Tip(x, height - top, next_x - x, top - bottom, text))
        else:
            found.append(Tip(4, height - y, right - 4, y - next_y, text))
    return found


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
        f' {name}="{_NAMES.get(value, value)}"'
        for name, value in pairs.items()
        if name not in ("font-family", "image-rendering")
    )


_NAMES = {colour: f"var(--{name})" for name, colour in LIGHT.items()}
