"""The measurements of one image as a column of text beside the radiograph."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from bundle.records.measured_value import MeasuredValue

_INK = (240, 240, 240)
_FAINT = (160, 160, 165)
_OUTSIDE = (253, 200, 90)  # told apart by the words below the value as well, so colour alone says nothing
_SHOWN = {"mm": " mm", "deg": "\u00b0", "1": ""}
_LONGEST = 34

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def panel_lines(values: Sequence[MeasuredValue]) -> list[tuple[str, tuple[int, int, int]]]:
    """What the column says, line by line, with the colour of each.

    Args:
        values: the measurements of one image.

    Returns:
        For each measurement a line with name, value and uncertainty, and one with its class, or else with where it lies
        beside its normal range. A measurement without a value says why.
    """
    lines = []
    for value in values:
        name = _latin(value.name)
        if not math.isfinite(value.value):
            lines += [(f"{name}  -", _INK), (f"   {_cut(_latin(value.note or 'no value'))}", _FAINT)]
            continue
        text = f"{name}  {value.value:.{value.decimals}f}{_SHOWN[value.unit]}"
        if math.isfinite(value.uncertainty):
            text += f" \u00b1 {value.uncertainty:.{value.decimals}f}"
        lines.append((text, _OUTSIDE if value.normal is False else _INK))
        below = value.category or ""
        if not below and value.normal is False:
            low = (value.normal_range or (None, None))[0]
            below = "below normal" if low is not None and value.value < low else "above normal"
        if below:
            lines.append((f"   {_cut(_latin(below))}", _FAINT))
    return lines


def panel_width(values: Sequence[MeasuredValue], font: Font, margin: int) -> int:
    """Width of the column in pixels, margins included; 0 where there is nothing to say."""
    if not values:
        return 0
    return math.ceil(max(font.getlength(text) for text, _ in panel_lines(values))) + 2 * margin


def draw_panel(
    picture: Image.Image,
    corner: tuple[int, int],
    height: int,
    values: Sequence[MeasuredValue],
    font: Font,
    line_height: int,
    margin: int,
) -> None:
    """Draw the column.

    Args:
        picture: the picture to draw on.
        corner: upper left corner of the column in pixels of the picture.
        height: its height; lines that find no room are counted in the last one.
        values: the measurements of one image.
        font: the font.
        line_height: pixels from line to line.
        margin: pixels around the text.
    """
    lines = panel_lines(values)
    room = max(1, (height - 2 * margin) // line_height)
    if len(lines) > room:
        lines = [*lines[: room - 1], (f"{len(lines) - room + 1} more lines", _FAINT)]
    pen = ImageDraw.Draw(picture)
    for number, (text, colour) in enumerate(lines):
        pen.text((corner[0] + margin, corner[1] + margin + number * line_height), text, fill=colour, font=font)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _latin(text: str) -> str:
    """Text in the letters that the font has."""
    return text.encode("latin-1", "replace").decode("latin-1")
