"""One measurement of one image, as plain values: what every writer takes."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class MeasuredValue:
    """One measurement of one image.

    Attributes:
        name: its short name, unique within the image, such as ``"ANB"``.
        title: its name in words.
        unit: unit of value, uncertainty and normal range, by UCUM: ``"deg"``, ``"mm"``, or ``"1"`` for a ratio.
        value: the value; NaN where it cannot be had.
        uncertainty: standard deviation of the value that follows from the expected errors of its landmarks; NaN where
            these are not known.
        normal_range: the lowest and the highest normal value, None for an end that is open; None where none is defined.
        category: the class that the value falls into, None where it falls into none or none is defined.
        note: why there is no value; None where there is one.
        segments: pairs of landmarks, 0-based in the template's order, between which lines show what was measured.
        decimals: how many decimals people are shown.
    """

    name: str
    title: str
    unit: str
    value: float
    uncertainty: float = math.nan
    normal_range: tuple[float | None, float | None] | None = None
    category: str | None = None
    note: str | None = None
    segments: tuple[tuple[int, int], ...] = ()
    decimals: int = 1

    @property
    def normal(self) -> bool | None:
        """Whether the value lies in the normal range, its ends included; None where either is not known."""
        if self.normal_range is None or not math.isfinite(self.value):
            return None
        low, high = self.normal_range
        return (low is None or self.value >= low) and (high is None or self.value <= high)
