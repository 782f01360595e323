"""A drawing as pixels in the light colours, for programs that take no SVG, such as TensorBoard."""

from __future__ import annotations

import io
from functools import singledispatch
from itertools import pairwise
from typing import Any

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from bundle.report.drawing import Box, Disc, Dots, Drawing, Label, Line, Picture, Segments
from bundle.report.styles import LIGHT, ROLES, Style

_FINE = 2  # drawn so many times larger and averaged down, for smooth edges


class _Canvas:
    """Layers of a picture; each mark is put over what is there, as its opacity says."""

    def __init__(self, width: float, height: float, scale: float) -> None:
        self.scale = scale * _FINE
        self.size = round(width * self.scale), round(height * self.scale)
        self.image = Image.new("RGBA", self.size, LIGHT["card"])

    def at(self, points: Any) -> list[tuple[float, float]]:
        """Points of the drawing, (K, 2), on this canvas."""
        return [(float(x), float(y)) for x, y in np.asarray(points, dtype=np.float64) * self.scale]

    def layer(self, style: Style) -> tuple[Image.Image, ImageDraw.ImageDraw]:
        """Where a mark is drawn: the picture itself, or a layer of its own where what is below shines through."""
        opaque = style.opacity == 1
        layer = self.image if opaque else Image.new("RGBA", self.size, (0, 0, 0, 0))
        return layer, ImageDraw.Draw(layer)

    def put(self, layer: Image.Image) -> None:
        """Put a layer of :meth:`layer` over the picture."""
        if layer is not self.image:
            self.image.alpha_composite(layer)


def as_pixels(drawing: Drawing, scale: float = 2.0) -> np.ndarray:
    """Draw a figure.

    Args:
        drawing: the figure.
        scale: pixels a unit of the drawing.

    Returns:
        (H, W, 3), uint8, RGB.
    """
    canvas = _Canvas(drawing.width, drawing.height, scale)
    for mark in drawing.marks:
        style = ROLES[mark.role]
        if not style.hover:
            _draw(mark, canvas, style)
    size = round(drawing.width * scale), round(drawing.height * scale)
    return np.asarray(canvas.image.convert("RGB").resize(size, Image.Resampling.BOX))


@singledispatch
def _draw(mark: object, canvas: _Canvas, style: Style) -> None:
    raise TypeError(f"mark: expected one of bundle.report.drawing, got {type(mark).__name__}.")


@_draw.register
def _line(mark: Line, canvas: _Canvas, style: Style) -> None:
    layer, pen = canvas.layer(style)
    points = canvas.at(mark.points)
    if mark.closed and style.fill and len(points) > 2:
        pen.polygon(points, fill=_ink(style.fill, style.opacity))
    if style.stroke:
        _stroke(pen, [*points, points[0]] if mark.closed else points, style, canvas.scale)
    canvas.put(layer)


@_draw.register
def _segments(mark: Segments, canvas: _Canvas, style: Style) -> None:
    layer, pen = canvas.layer(style)
    for ends in mark.ends:
        _stroke(pen, canvas.at(ends), style, canvas.scale)
    canvas.put(layer)


@_draw.register
def _dots(mark: Dots, canvas: _Canvas, style: Style) -> None:
    layer, pen = canvas.layer(style)
    for point in canvas.at(mark.points):
        _circle(pen, point, mark.radius * canvas.scale, style, canvas.scale)
    canvas.put(layer)


@_draw.register
def _disc(mark: Disc, canvas: _Canvas, style: Style) -> None:
    layer, pen = canvas.layer(style)
    _circle(pen, canvas.at([(mark.x, mark.y)])[0], mark.radius * canvas.scale, style, canvas.scale)
    canvas.put(layer)


@_draw.register
def _box(mark: Box, canvas: _Canvas, style: Style) -> None:
    layer, pen = canvas.layer(style)
    left, top = mark.x * canvas.scale, mark.y * canvas.scale
    corners = (left, top, left + max(0.0, mark.width) * canvas.scale, top + max(0.0, mark.height) * canvas.scale)
    pen.rectangle(
        corners,
        fill=_ink(style.fill, style.opacity) if style.fill else None,
        outline=_ink(style.stroke, 1.0) if style.stroke else None,
        width=max(1, round(style.width * canvas.scale)),
    )
    canvas.put(layer)


@_draw.register
def _label(mark: Label, canvas: _Canvas, style: Style) -> None:
    font = ImageFont.load_default(size=style.size * canvas.scale)
    anchor = {"start": "lm", "middle": "mm", "end": "rm"}[mark.anchor]
    text = mark.text.encode("latin-1", "replace").decode("latin-1")  # the letters that the font has
    ink = _ink(style.fill or "ink", style.opacity)
    place = canvas.at([(mark.x, mark.y)])[0]
    layer, pen = canvas.layer(style)
    if mark.upright:
        pen.text(place, text, fill=ink, font=font, anchor=anchor)
    else:
        width, height = round(font.getlength(text)) + 4, round(style.size * canvas.scale * 1.6)
        line = Image.new("RGBA", (width, height), (0, 0, 0, 0))
        ImageDraw.Draw(line).text((2, height / 2), text, fill=ink, font=font, anchor="lm")
        turned = line.rotate(90, expand=True)
        shift = {"start": turned.height, "middle": turned.height // 2, "end": 0}[mark.anchor]
        layer.paste(turned, (round(place[0] - turned.width / 2), round(place[1] - shift)), turned)
    canvas.put(layer)


@_draw.register
def _picture(mark: Picture, canvas: _Canvas, style: Style) -> None:
    layer, _ = canvas.layer(style)
    size = max(1, round(mark.width * canvas.scale)), max(1, round(mark.height * canvas.scale))
    with Image.open(io.BytesIO(mark.jpeg)) as file:
        picture = file.convert("RGBA").resize(size)
    picture.putalpha(round(255 * style.opacity))
    layer.paste(picture, (round(mark.x * canvas.scale), round(mark.y * canvas.scale)))
    canvas.put(layer)


def _stroke(pen: ImageDraw.ImageDraw, points: list[tuple[float, float]], style: Style, scale: float) -> None:
    ink = _ink(style.stroke or "ink", 1.0 if style.fill else style.opacity)
    width = max(1, round(style.width * scale))
    for piece in _dashes(points, style.dash, scale) if style.dash else [points]:
        pen.line(piece, fill=ink, width=width, joint="curve")


def _dashes(
    points: list[tuple[float, float]], dash: tuple[float, float], scale: float
) -> list[list[tuple[float, float]]]:
    """The pieces of a line that are drawn where it has gaps."""
    on, off = dash[0] * scale, dash[1] * scale
    pieces = []
    along = 0.0  # how far the line has come, from one corner to the next
    for (ax, ay), (bx, by) in pairwise(points):
        length = float(np.hypot(bx - ax, by - ay))
        start = -(along % (on + off))
        while start < length and length > 0:
            first, last = max(start, 0.0) / length, min(start + on, length) / length
            if last > first:
                ends = [(ax + (bx - ax) * part, ay + (by - ay) * part) for part in (first, last)]
                pieces.append(ends)
            start += on + off
        along += length
    return pieces


def _circle(pen: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float, style: Style, scale: float) -> None:
    x, y = centre
    pen.ellipse(
        (x - radius, y - radius, x + radius, y + radius),
        fill=_ink(style.fill, style.opacity) if style.fill else None,
        outline=_ink(style.stroke, 1.0) if style.stroke else None,
        width=max(1, round(style.width * scale)),
    )


def _ink(colour: str, opacity: float) -> tuple[int, int, int, int]:
    red, green, blue = ImageColor.getrgb(LIGHT[colour])[:3]
    return red, green, blue, round(255 * opacity)
