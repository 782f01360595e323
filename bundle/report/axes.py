"""The frame of a chart: scales, round numbers along them, and what is written beside them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bundle.report.drawing import Drawing, Label, Line


@dataclass(frozen=True)
class Scale:
    """A straight map of values to places on the drawing: ``low`` lies at ``start``, ``high`` at ``end``."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float | np.ndarray) -> float | np.ndarray:
        """The place of a value; values beyond the ends lie beyond the frame."""
        return self.start + (np.asarray(value) - self.low) / (self.high - self.low) * (self.end - self.start)

    def at(self, value: float) -> float:
        """The place of one value, kept within the frame."""
        return float(self(min(max(value, self.low), self.high)))


def round_numbers(low: float, high: float, about: int = 5) -> list[float]:
    """Numbers of one, two or five times a power of ten that cover a range evenly, about as many as asked for."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low]
    rough = (high - low) / max(1, about)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 10) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def round_up(value: float) -> float:
    """The next number that an axis can end with."""
    if not math.isfinite(value) or value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(
        factor * power for factor in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if factor * power >= value * 0.999
    )


def number(value: float) -> str:
    """A number as it stands at an axis."""
    return f"{value:g}"


def frame_below(drawing: Drawing, x: Scale, top: float, bottom: float, title: str, grid: bool = True) -> None:
    """Draw the horizontal axis, upright lines at its round numbers, and its title."""
    for value in round_numbers(x.low, x.high, 6):
        place = float(x(value))
        if grid:
            drawing.add(Line(np.array([(place, top), (place, bottom)]), "grid"))
        drawing.add(Label(place, bottom + 14, number(value), "tick", "middle"))
    drawing.add(Line(np.array([(x.start, bottom), (x.end, bottom)]), "axis"))
    drawing.add(Label((x.start + x.end) / 2, bottom + 34, title, "title", "middle"))


def frame_left(drawing: Drawing, y: Scale, left: float, right: float, title: str) -> None:
    """Draw level lines at the round numbers of the vertical axis, and its title."""
    for value in round_numbers(y.low, y.high, 5):
        place = float(y(value))
        drawing.add(Line(np.array([(left, place), (right, place)]), "grid"))
        drawing.add(Label(left - 8, place, number(value), "tick", "end"))
    drawing.add(Label(left - 40, (y.start + y.end) / 2, title, "title", "middle", upright=False))
