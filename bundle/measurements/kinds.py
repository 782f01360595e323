"""The kinds of measurements: what each takes, and how it follows from the points."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from bundle.measurements.quantity import (
    Quantity,
    distance,
    height,
    magnitude,
    projection,
    ratio,
    signed,
    turn,
    weighted_sum,
)

#: What a value is, with its unit by UCUM.
UNITS = {"length": "mm", "angle": "deg", "number": "1"}

Line = tuple[int, int]


class Kind(Protocol):
    """One kind of measurement.

    Attributes:
        dimension: ``"length"``, ``"angle"`` or ``"number"``.
    """

    @property
    def dimension(self) -> str:
        """What the value is."""

    def landmarks(self) -> tuple[int, ...]:
        """The landmarks that it looks at itself, 0-based."""

    def parts(self) -> tuple[str, ...]:
        """The measurements that it is computed from."""

    def segments(self) -> tuple[Line, ...]:
        """Lines that show what is measured."""

    def evaluate(self, points: np.ndarray, part: Callable[[str], Quantity]) -> Quantity:
        """The value from points (N, 2), ``(x, y)`` in one unit along both axes, and the values of other measurements.

        Raises:
            Unmeasurable: when the points do not allow it.
        """


@dataclass(frozen=True)
class Distance:
    """Distance between two landmarks.

    Attributes:
        points: the two landmarks.
        signed_along: a directed line: the distance counts as positive where the way from the first landmark to the
            second leads in the line's direction, else as negative; None for a distance without sign.
    """

    points: Line
    signed_along: Line | None = None
    dimension: ClassVar[str] = "length"

    def landmarks(self) -> tuple[int, ...]:
        """See :class:`Kind`."""
        return (*self.points, *(self.signed_along or ()))

    def parts(self) -> tuple[str, ...]:
        """See :class:`Kind`."""
        return ()

    def segments(self) -> tuple[Line, ...]:
        """See :class:`Kind`."""
        return (self.points,)

    def evaluate(self, points: np.ndarray, part: Callable[[str], Quantity]) -> Quantity:
        """See :class:`Kind`."""
        length = distance(points, *self.points)
        if self.signed_along is None:
            return length
        return signed(length, _sign(projection(points, self.points, self.signed_along)))


@dataclass(frozen=True)
class Angle:
    """Angle at a vertex between the lines to two landmarks, 0 to 180 degrees.

    Attributes:
        vertex: the landmark at which the angle is.
        arms: the two landmarks that its arms lead to.
    """

    vertex: int
    arms: Line
    dimension: ClassVar[str] = "angle"

    def landmarks(self) -> tuple[int, ...]:
        """See :class:`Kind`."""
        return (self.arms[0], self.vertex, self.arms[1])

    def parts(self) -> tuple[str, ...]:
        """See :class:`Kind`."""
        return ()

    def segments(self) -> tuple[Line, ...]:
        """See :class:`Kind`."""
        return ((self.vertex, self.arms[0]), (self.vertex, self.arms[1]))

    def evaluate(self, points: np.ndarray, part: Callable[[str], Quantity]) -> Quantity:
        """See :class:`Kind`."""
        return magnitude(turn(points, (self.vertex, self.arms[0]), (self.vertex, self.arms[1])))


@dataclass(frozen=True)
class LineAngle:
    """Angle between two directed lines.

    Attributes:
        lines: the lines, each from its first landmark to its second.
        positive_towards: a landmark beside the first line: the angle counts as positive where the second line turns
            away from the first one to that side, else as negative, -180 to 180 degrees; None for 0 to 180 degrees.
    """

    lines: tuple[Line, Line]
    positive_towards: int | None = None
    dimension: ClassVar[str] = "angle"

    def landmarks(self) -> tuple[int, ...]:
        """See :class:`Kind`."""
        side = () if self.positive_towards is None else (self.positive_towards,)
        return (*self.lines[0], *self.lines[1], *side)

    def parts(self) -> tuple[str, ...]:
        """See :class:`Kind`."""
        return ()

    def segments(self) -> tuple[Line, ...]:
        """See :class:`Kind`."""
        return self.lines

    def evaluate(self, points: np.ndarray, part: Callable[[str], Quantity]) -> Quantity:
        """See :class:`Kind`."""
        angle = turn(points, *self.lines)
        if self.positive_towards is None:
            return magnitude(angle)
        return signed(angle, _sign(height(points, self.positive_towards, self.lines[0])))


@dataclass(frozen=True)
class Perpendicular:
    """Perpendicular distance of a landmark from a line.

    Attributes:
        point: the landmark.
        line: two landmarks of the line.
        positive_towards: a landmark beside the line: the distance counts as positive on its side, else as negative;
            None for a distance without sign.
    """

    point: int
    line: Line
    positive_towards: int | None = None
    dimension: ClassVar[str] = "length"

    def landmarks(self) -> tuple[int, ...]:
        """See :class:`Kind`."""
        side = () if self.positive_towards is None else (self.positive_towards,)
        return (self.point, *self.line, *side)

    def parts(self) -> tuple[str, ...]:
        """See :class:`Kind`."""
        return ()

    def segments(self) -> tuple[Line, ...]:
        """See :class:`Kind`."""
        return (self.line,)

    def evaluate(self, points: np.ndarray, part: Callable[[str], Quantity]) -> Quantity:
        """See :class:`Kind`."""
        found = height(points, self.point, self.line)
        if self.positive_towards is None:
            return magnitude(found)
        return signed(found, _sign(height(points, self.positive_towards, self.line)))


@dataclass(frozen=True)
class Projection:
    """Distance between the feet of two landmarks on a line, positive from the first to the second in its direction.

    Attributes:
        points: the two landmarks.
        line: the directed line.
    """

    points: Line
    line: Line
    dimension: ClassVar[str] = "length"

    def landmarks(self) -> tuple[int, ...]:
        """See :class:`Kind`."""
        return (*self.points, *self.line)

    def parts(self) -> tuple[str, ...]:
        """See :class:`Kind`."""
        return ()

    def segments(self) -> tuple[Line, ...]:
        """See :class:`Kind`."""
        return (self.line,)

    def evaluate(self, points: np.ndarray, part: Callable[[str], Quantity]) -> Quantity:
        """See :class:`Kind`."""
        return projection(points, self.points, self.line)


@dataclass(frozen=True)
class Ratio:
    """One measurement divided by another.

    Attributes:
        numerator: name of a measurement.
        denominator: name of a measurement of the same dimension.
    """

    numerator: str
    denominator: str
    dimension: ClassVar[str] = "number"

    def landmarks(self) -> tuple[int, ...]:
        """See :class:`Kind`."""
        return ()

    def parts(self) -> tuple[str, ...]:
        """See :class:`Kind`."""
        return (self.numerator, self.denominator)

    def segments(self) -> tuple[Line, ...]:
        """See :class:`Kind`."""
        return ()

    def evaluate(self, points: np.ndarray, part: Callable[[str], Quantity]) -> Quantity:
        """See :class:`Kind`."""
        return ratio(part(self.numerator), part(self.denominator))


@dataclass(frozen=True)
class Sum:
    """Sum of other measurements of one dimension, each times a factor, and of a constant.

    Attributes:
        terms: factors by the names of measurements.
        dimension: that of its terms.
        constant: what is added, in the unit of the terms.
    """

    terms: Mapping[str, float]
    dimension: str
    constant: float = 0.0

    def landmarks(self) -> tuple[int, ...]:
        """See :class:`Kind`."""
        return ()

    def parts(self) -> tuple[str, ...]:
        """See :class:`Kind`."""
        return tuple(self.terms)

    def segments(self) -> tuple[Line, ...]:
        """See :class:`Kind`."""
        return ()

    def evaluate(self, points: np.ndarray, part: Callable[[str], Quantity]) -> Quantity:
        """See :class:`Kind`."""
        return weighted_sum([(factor, part(name)) for name, factor in self.terms.items()], self.constant)


def _sign(quantity: Quantity) -> float:
    return -1.0 if quantity.value < 0 else 1.0
