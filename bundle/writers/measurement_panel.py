"""The measurements of one image as a column of text beside the radiograph."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bundle.records.measured_value import MeasuredValue

Colour = tuple[int, int, int]

INK: Colour = (240, 240, 240)
FAINT = (160, 160, 165)
_OUTSIDE = (253, 200, 90)  # told apart by the words below the value as well, so colour alone says nothing
_UNITS = {"mm": " mm", "deg": "\u00b0", "1": ""}
_LONGEST = 34


def panel_lines(values: Sequence[MeasuredValue]) -> list[tuple[str, Colour]]:
    """What the column says, line by line, with the colour of each.

    Args:
        values: the measurements of one image.

    Returns:
        For each measurement a line with name, value and uncertainty, and one with its class, or else with where it lies
        beside its normal range. A measurement without a value says why.
    """
    lines: list[tuple[str, Colour]] = []
    for value in values:
        if not math.isfinite(value.value):
            lines += [(f"{_shown(value.name)}  -", INK), (f"   {_shown(value.note or 'no value')}", FAINT)]
            continue
        text = f"{_shown(value.name)}  {value.value:.{value.decimals}f}{_UNITS[value.unit]}"
        if math.isfinite(value.uncertainty):
            text += f" \u00b1 {value.uncertainty:.{value.decimals}f}"
        lines.append((text, _OUTSIDE if value.normal is False else INK))
        low = (value.normal_range or (None, None))[0]
        outside = "below normal" if low is not None and value.value < low else "above normal"
        if below := value.category or (outside if value.normal is False else ""):
            lines.append((f"   {_shown(below)}", FAINT))
    return lines


def _shown(text: str) -> str:
    """Text in the letters that the font has, not longer than a column."""
    text = text.encode("latin-1", "replace").decode("latin-1")
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
