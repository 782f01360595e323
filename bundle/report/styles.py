"""The colours of the report, and how each kind of mark is drawn: one source for the page and for pictures."""

from __future__ import annotations

from dataclasses import dataclass

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
    "accent_soft": "#c4dcf0",
    "second": "#a6366f",
    "second_soft": "#ecc9dc",
    "quiet": "#8792a0",
    "good": "#17724a",
    "bad": "#b3261e",
    "bad_soft": "#fbe9e7",
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
    "accent_soft": "#234a69",
    "second": "#f08fc0",
    "second_soft": "#5a2a45",
    "quiet": "#7f8b98",
    "good": "#58c795",
    "bad": "#ff8a80",
    "bad_soft": "#3d2122",
}


@dataclass(frozen=True)
class Style:
    """How a role is drawn.

    Attributes:
        fill: name of a colour; None for none.
        stroke: name of a colour; None for none.
        width: of the stroke, in units of the drawing.
        opacity: 0 to 1.
        dash: lengths of dash and gap; None for a line without gaps.
        size: height of letters, where the role is a text; 0 where it is none.
        bold: whether the letters are.
        hover: whether the mark only shows while a pointer is on it.
    """

    fill: str | None = None
    stroke: str | None = None
    width: float = 0.0
    opacity: float = 1.0
    dash: tuple[float, float] | None = None
    size: float = 0.0
    bold: bool = False
    hover: bool = False


#: What each role of a mark looks like.
ROLES: dict[str, Style] = {
    "grid": Style(stroke="grid", width=1),
    "axis": Style(stroke="axis", width=1),
    "tick": Style(fill="muted", size=11.5),
    "name": Style(fill="ink", size=11.5),
    "title": Style(fill="muted", size=11.5),
    "value": Style(fill="accent", size=11.5, bold=True),
    "curve": Style(stroke="accent", width=2.25),
    "curve_area": Style(fill="accent", opacity=0.10),
    "curve_point": Style(fill="accent", stroke="card", width=1.5),
    "ideal": Style(stroke="quiet", width=1.5, dash=(4, 4)),
    "whisker": Style(stroke="axis", width=1.25),
    "box": Style(fill="accent_soft", stroke="accent", width=1),
    "median": Style(stroke="accent", width=2.25),
    "mean": Style(fill="card", stroke="second", width=1.75),
    "outlier": Style(fill="quiet", opacity=0.55),
    "reach": Style(stroke="second", width=1.25, dash=(3, 3)),
    "bar": Style(fill="accent_soft", stroke="accent", width=1),
    "cloud": Style(fill="accent", opacity=0.16),
    "vector": Style(stroke="accent", width=0.9, opacity=0.55),
    "ellipse": Style(fill="second", stroke="second", width=1.25, opacity=0.22),
    "bias": Style(stroke="second", width=2.25),
    "shape_point": Style(fill="ink", stroke="card", width=1),
    "shape_label": Style(fill="ink", size=10.5, bold=True),
    "backdrop": Style(opacity=0.5),
    "hit": Style(fill="accent", opacity=0.12, hover=True),
}
