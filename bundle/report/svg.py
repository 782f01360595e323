"""A drawing as SVG that stands in the page: its colours are the page's, so that it follows light and dark."""

from __future__ import annotations

import base64
from functools import singledispatch

from markupsafe import Markup, escape

from bundle.report.drawing import Box, Disc, Dots, Drawing, Label, Line, Picture, Segments
from bundle.report.styles import LIGHT, ROLES


def as_svg(drawing: Drawing, identifier: str) -> Markup:
    """Write a drawing as an ``svg`` element.

    Args:
        drawing: the figure.
        identifier: a name that is unique on the page, of letters, digits and hyphens.

    Returns:
        The element. Roles are classes (``r-<role>``), the tip of a mark is its ``data-tip``. All text is escaped.
    """
    body = Markup("\n").join(_mark(mark) for mark in drawing.marks)
    return Markup(
        '<svg class="chart" id="{}" viewBox="0 0 {} {}" role="img" aria-label="{}" aria-describedby="{}-text" '
        'preserveAspectRatio="xMidYMid meet">\n{}\n</svg>'
    ).format(identifier, _n(drawing.width), _n(drawing.height), drawing.title, identifier, body)


def standalone(svg: str) -> str:
    """An ``svg`` element of :func:`as_svg` as a file of its own, in the light colours."""
    colours = "".join(f"--{name.replace('_', '-')}:{value};" for name, value in LIGHT.items())
    style = f"<style>svg{{{colours}background:var(--card);font-family:sans-serif}}{style_rules()}</style>"
    head, body = svg.split(">", 1)
    return f'{head} xmlns="http://www.w3.org/2000/svg">{style}{body}'


def style_rules() -> str:
    """The CSS rules of all roles; the colours are the page's custom properties ``--<name>``."""
    rules = []
    for role, style in ROLES.items():
        parts = [f"fill:{_colour(style.fill)}", f"stroke:{_colour(style.stroke)}"]
        if style.width:
            parts.append(f"stroke-width:{_n(style.width)}")
        if style.dash:
            parts.append(f"stroke-dasharray:{_n(style.dash[0])} {_n(style.dash[1])}")
        if style.size:
            parts.append(f"font-size:{_n(style.size)}px")
        if style.bold:
            parts.append("font-weight:600")
        if style.hover:
            parts.append("opacity:0")
            rules.append(f".r-{role}:hover{{opacity:{_n(style.opacity)}}}")
        elif style.opacity < 1:
            # the outline of an area stays as strong as a line
            parts.append(f"fill-opacity:{_n(style.opacity)}")
            parts.append(f"stroke-opacity:{_n(1.0 if style.fill else style.opacity)}")
            if style.fill is None and style.stroke is None:
                parts.append(f"opacity:{_n(style.opacity)}")
        rules.append(f".r-{role}{{{';'.join(parts)}}}")
    return "\n".join(rules)


def data_uri(jpeg: bytes) -> str:
    """A JPEG file as an address that holds the file itself."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"


@singledispatch
def _mark(mark: object) -> Markup:
    raise TypeError(f"mark: expected one of bundle.report.drawing, got {type(mark).__name__}.")


@_mark.register
def _line(mark: Line) -> Markup:
    path = f"M{'L'.join(f'{_n(x)} {_n(y)}' for x, y in mark.points)}{'Z' if mark.closed else ''}"
    return Markup('<path class="r-{}" d="{}"{}/>').format(mark.role, path, _tip(mark.tip))


@_mark.register
def _segments(mark: Segments) -> Markup:
    path = "".join(f"M{_n(a[0])} {_n(a[1])}L{_n(b[0])} {_n(b[1])}" for a, b in mark.ends)
    return Markup('<path class="r-{}" d="{}"/>').format(mark.role, path)


@_mark.register
def _dots(mark: Dots) -> Markup:
    r = _n(mark.radius)
    two = _n(2 * mark.radius)
    arcs = f"a{r} {r} 0 1 0 {two} 0a{r} {r} 0 1 0 -{two} 0"
    path = "".join(f"M{_n(x - mark.radius)} {_n(y)}{arcs}" for x, y in mark.points)
    return Markup('<path class="r-{}" d="{}"/>').format(mark.role, path)


@_mark.register
def _disc(mark: Disc) -> Markup:
    return Markup('<circle class="r-{}" cx="{}" cy="{}" r="{}"{}/>').format(
        mark.role, _n(mark.x), _n(mark.y), _n(mark.radius), _tip(mark.tip)
    )


@_mark.register
def _box(mark: Box) -> Markup:
    return Markup('<rect class="r-{}" x="{}" y="{}" width="{}" height="{}"{}/>').format(
        mark.role, _n(mark.x), _n(mark.y), _n(mark.width), _n(mark.height), _tip(mark.tip)
    )


@_mark.register
def _label(mark: Label) -> Markup:
    turn = Markup("") if mark.upright else Markup(' transform="rotate(-90 {} {})"').format(_n(mark.x), _n(mark.y))
    return Markup('<text class="r-{}" x="{}" y="{}" dy="0.35em" text-anchor="{}"{}>{}</text>').format(
        mark.role, _n(mark.x), _n(mark.y), mark.anchor, turn, mark.text
    )


@_mark.register
def _picture(mark: Picture) -> Markup:
    return Markup(
        '<image class="r-{}" x="{}" y="{}" width="{}" height="{}" preserveAspectRatio="none" href="{}"/>'
    ).format(mark.role, _n(mark.x), _n(mark.y), _n(mark.width), _n(mark.height), data_uri(mark.jpeg))


def _tip(text: str) -> Markup:
    return Markup(' data-tip="{}"').format(escape(text)) if text else Markup("")


def _colour(name: str | None) -> str:
    return "none" if name is None else f"var(--{name.replace('_', '-')})"


def _n(value: float) -> str:
    """A number with two decimals at most."""
    text = f"{float(value):.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
