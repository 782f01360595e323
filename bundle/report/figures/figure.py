"""A drawing with all that stands around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bundle.report.drawing import Drawing

#: Width of the charts in units: where a telephone shows them, letters are still large enough.
WIDTH = 460.0


@dataclass(frozen=True)
class Figure:
    """A figure of a report.

    Attributes:
        key: its name, of lower-case letters and hyphens.
        drawing: the figure.
        caption: how it is read, in a sentence or two.
        header: head of the table with the same numbers.
        rows: that table, for who cannot see the figure, and for copying.
    """

    key: str
    drawing: Drawing
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
