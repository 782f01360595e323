"""A figure as a list of marks, without saying what draws it: the page shows it as SVG, a tracker takes it as pixels."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Line:
    """An open line, or a closed area.

    Attributes:
        points: (K, 2), ``(x, y)`` in units of the drawing.
        role: what the line means, a key of :data:`bundle.report.styles.ROLES`.
        closed: whether the last point is joined to the first.
        tip: what a pointer on the mark shows; empty for nothing.
    """

    points: np.ndarray
    role: str
    closed: bool = False
    tip: str = ""


@dataclass(frozen=True)
class Segments:
    """Many short lines of one role, drawn as one mark.

    Attributes:
        ends: (K, 2, 2), start and end of each as ``(x, y)`` in units of the drawing.
        role: see :class:`Line`.
    """

    ends: np.ndarray
    role: str


@dataclass(frozen=True)
class Dots:
    """Many small discs of one role, drawn as one mark.

    Attributes:
        points: (K, 2), ``(x, y)`` in units of the drawing.
        radius: in units of the drawing.
        role: see :class:`Line`.
    """

    points: np.ndarray
    radius: float
    role: str


@dataclass(frozen=True)
class Disc:
    """One disc; ``x`` and ``y`` are its centre, all in units of the drawing."""

    x: float
    y: float
    radius: float
    role: str
    tip: str = ""


@dataclass(frozen=True)
class Box:
    """An upright rectangle; ``x`` and ``y`` are its upper left corner, all in units of the drawing."""

    x: float
    y: float
    width: float
    height: float
    role: str
    tip: str = ""


@dataclass(frozen=True)
class Label:
    """A line of text.

    Attributes:
        x: place of the anchor, in units of the drawing.
        y: the middle of the letters.
        text: the text.
        role: see :class:`Line`.
        anchor: which part of the text is at ``x``: ``"start"``, ``"middle"`` or ``"end"``.
        upright: False for text that runs from the bottom to the top.
    """

    x: float
    y: float
    text: str
    role: str
    anchor: str = "start"
    upright: bool = True


@dataclass(frozen=True)
class Picture:
    """A picture that fills a rectangle.

    Attributes:
        x: left side, in units of the drawing.
        y: upper side.
        width: of the rectangle.
        height: of the rectangle.
        jpeg: the file's bytes.
        role: see :class:`Line`; its opacity counts.
    """

    x: float
    y: float
    width: float
    height: float
    jpeg: bytes
    role: str


Mark = Line | Segments | Dots | Disc | Box | Label | Picture


@dataclass
class Drawing:
    """A figure.

    Attributes:
        width: in units, which are pixels where the figure is shown at its own size.
        height: the same.
        title: what the figure shows, in a few words.
        description: the same in a sentence or two with the main numbers, for who cannot see it.
        marks: what is drawn, from the back to the front.
    """

    width: float
    height: float
    title: str
    description: str
    marks: list[Mark] = field(default_factory=list)

    def add(self, *marks: Mark) -> None:
        """Draw on top of what is there."""
        self.marks.extend(marks)
