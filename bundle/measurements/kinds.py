"""The kinds of measurements: what each takes in a file of definitions, and how it follows from the points."""

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema
from typing_extensions import TypeAliasType

from bundle.records.validation import Items, Pair, Validated

#: By how much a coordinate is moved for its derivative: rounding and curvature each err by less than a millionth.
STEP = 1e-5

#: A line from one landmark to another, by their numbers.
Segment = tuple[int, int]


class Unmeasurable(Exception):
    """A measurement has no value in an image; the message says why, without a full stop."""


class Points:
    """The landmarks of an image as they are, and with each coordinate moved by :data:`STEP`.

    Args:
        points: (N, 2), ``(x, y)`` in one unit along both axes; NaN where one is missing.
        names: N names.
    """

    def __init__(self, points: np.ndarray, names: Sequence[str]) -> None:
        moves = STEP * np.eye(points.size).reshape(-1, *points.shape)
        self.copies = points + np.concatenate([0 * moves[:1], moves])
        self.names = names

    def step(self, line: Segment) -> np.ndarray:
        """From the first landmark of a line to its second, (P, 2) in P copies."""
        for index in line:
            if not np.isfinite(self.copies[0, index]).all():
                raise Unmeasurable(f"landmark {self.names[index]} is missing")
        return self.copies[:, line[1]] - self.copies[:, line[0]]

    def length(self, line: Segment) -> np.ndarray:
        """Length of a line, (P,)."""
        found = np.hypot(*self.step(line).T)
        if found[0] == 0:
            raise Unmeasurable("two of its landmarks lie on one another")
        return found

    def projection(self, pair: Segment, line: Segment) -> np.ndarray:
        """How far one goes along a directed line on the way from the first landmark of a pair to the second, (P,)."""
        return (self.step(pair) * self.step(line)).sum(axis=1) / self.length(line)

    def height(self, point: int, line: Segment) -> np.ndarray:
        """Distance of a landmark from a directed line, positive on the side to which x turns towards y, (P,)."""
        return _cross(self.step(line), self.step((line[0], point))) / self.length(line)

    def turn(self, first: Segment, second: Segment) -> np.ndarray:
        """Degrees from one directed line to another, above -180 to 180, positive from x towards y, (P,)."""
        ones, others = (self.step(line) / self.length(line)[:, None] for line in (first, second))
        angle = np.degrees(np.arctan2(_cross(ones, others) + 0.0, (ones * others).sum(axis=1)))
        return angle - 360 * np.round((angle - angle[0]) / 360)  # no copy jumps from 180 to -180


def signed(values: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Values of copies with the sign that others have in copy 0; by themselves it is the absolute value."""
    return values * (-1.0 if by[0] < 0 else 1.0)


def standard_deviation(values: np.ndarray, deviations: np.ndarray) -> float:
    """Standard deviation of a value by first-order propagation.

    Args:
        values: (P,), the value in all copies.
        deviations: (N, 2), standard deviation of x and y of each landmark, the errors independent of each other; NaN
            where not known.

    Returns:
        The square root of the sum of (derivative times deviation) squared over what the value depends on; NaN where one
        of these deviations is not known.
    """
    gradient = (values[1:] - values[0]).reshape(deviations.shape) / STEP
    used = np.abs(gradient) > 1e-5
    return float(np.sqrt(np.sum((gradient[used] * deviations[used]) ** 2)))


def _cross(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    return ones[:, 0] * others[:, 1] - ones[:, 1] * others[:, 0]


#: The context of validation: the landmarks, 0-based in the template's order, by what a file may call them.
Known = dict[str | int, int]

#: The value of another measurement in all copies of the points, by its name.
Part = Callable[[str], np.ndarray]


def _index(reference: object, info: ValidationInfo[Known]) -> int:
    if type(reference) not in (str, int) or reference not in info.context:
        last = max(info.context.values())
        raise ValueError(f"a landmark of the template: its name, or a number from 0 to {last}")
    return info.context[reference]


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("printable characters")
    return text


def _two(landmarks: tuple[int, int]) -> tuple[int, int]:
    if landmarks[0] == landmarks[1]:
        raise ValueError("two different landmarks")
    return landmarks


def _ordered(ends: tuple[float | None, float | None]) -> tuple[float | None, float | None]:
    low, high = ends
    if low is not None and high is not None and low > high:
        raise ValueError("the lower end first")
    return ends


# Types with a name have one place in the JSON Schema.
Landmark = TypeAliasType(
    "Landmark",
    Annotated[
        int,
        BeforeValidator(_index),
        WithJsonSchema({"oneOf": [{"type": "string", "minLength": 1}, {"type": "integer", "minimum": 0}]}),
    ],
)
Line = TypeAliasType("Line", Annotated[Pair[Landmark], AfterValidator(_two)])
Range = TypeAliasType("Range", Annotated[Pair[float | None], AfterValidator(_ordered)])
Text = Annotated[str, Field(max_length=1000), AfterValidator(_printable)]


class Category(Validated):
    """One class of values.

    Attributes:
        label: its name.
        low: the lowest value, itself included; None for no end.
        high: the highest value, itself included; None for no end.
    """

    label: Text
    low: float | None = Field(None, alias="from")
    high: float | None = Field(None, alias="to")

    def holds(self, value: float) -> bool:
        """Whether a value belongs to it."""
        return (-math.inf if self.low is None else self.low) <= value <= (math.inf if self.high is None else self.high)


class Measurement(Validated):
    """One measurement as the file defines it, with landmarks as indices.

    Attributes:
        name: short name, unique in the file.
        title: name in words; empty where it has none.
        unit: only checked: the unit follows from the kind.
        normal_range: the lowest and the highest normal value, None for an open end; None where there is none.
        classes: the first that holds a value counts.
        decimals: how many decimals people are shown; None for three of a number without unit, else one.
        hidden: whether it is computed for other measurements only, and not reported.
        own_unit: unit of the value by UCUM; None for that of its parts.
    """

    name: Annotated[str, Field(min_length=1, max_length=40, pattern=r"\S"), AfterValidator(_printable)]
    title: Text = ""
    unit: Literal["mm", "deg", "1"] | None = None
    normal_range: Range | None = None
    classes: Items[Category] = ()
    decimals: Annotated[int, Field(ge=0, le=6)] | None = None
    hidden: bool = False
    own_unit: ClassVar[str | None]

    def parts(self) -> tuple[str, ...]:
        """The measurements that it is computed from."""
        return ()

    def segments(self) -> tuple[tuple[int, int], ...]:
        """Lines that show what is measured."""
        return ()

    @abstractmethod
    def evaluate(self, points: Points, part: Part) -> np.ndarray:
        """The value in all copies of the points, (P,), from them and the values of other measurements.

        Raises:
            Unmeasurable: when the points do not allow it.
        """


class Distance(Measurement):
    """Distance between two landmarks.

    Attributes:
        points: the two landmarks.
        signed_along: a directed line: the distance counts as positive where the way from the first landmark to the
            second leads in the line's direction, else as negative; None for a distance without sign.
    """

    kind: Literal["distance"]
    points: Line
    signed_along: Line | None = None
    own_unit = "mm"

    def segments(self) -> tuple[tuple[int, int], ...]:
        """From one landmark to the other."""
        return (self.points,)

    def evaluate(self, points: Points, part: Part) -> np.ndarray:
        """The distance in the unit of the points."""
        length, along = points.length(self.points), self.signed_along
        return signed(length, length if along is None else points.projection(self.points, along))


class Angle(Measurement):
    """Angle at a vertex between the lines to two landmarks, 0 to 180 degrees.

    Attributes:
        vertex: the landmark at which the angle is.
        arms: the two landmarks that its arms lead to.
    """

    kind: Literal["angle"]
    vertex: Landmark
    arms: Line
    own_unit = "deg"

    def segments(self) -> tuple[tuple[int, int], ...]:
        """The two arms."""
        return ((self.vertex, self.arms[0]), (self.vertex, self.arms[1]))

    def evaluate(self, points: Points, part: Part) -> np.ndarray:
        """The angle in degrees."""
        angle = points.turn(*self.segments())
        return signed(angle, angle)


class LineAngle(Measurement):
    """Angle between two directed lines.

    Attributes:
        lines: the lines, each from its first landmark to its second.
        positive_towards: a landmark beside the first line: the angle counts as positive where the second line turns
            away from the first one to that side, else as negative, -180 to 180 degrees; None for 0 to 180 degrees.
    """

    kind: Literal["angle_between_lines"]
    lines: Pair[Line]
    positive_towards: Landmark | None = None
    own_unit = "deg"

    def segments(self) -> tuple[tuple[int, int], ...]:
        """The two lines."""
        return self.lines

    def evaluate(self, points: Points, part: Part) -> np.ndarray:
        """The angle in degrees."""
        angle, side = points.turn(*self.lines), self.positive_towards
        return signed(angle, angle if side is None else points.height(side, self.lines[0]))


class Perpendicular(Measurement):
    """Perpendicular distance of a landmark from a line.

    Attributes:
        point: the landmark.
        line: two landmarks of the line.
        positive_towards: a landmark beside the line: the distance counts as positive on its side, else as negative;
            None for a distance without sign.
    """

    kind: Literal["perpendicular"]
    point: Landmark
    line: Line
    positive_towards: Landmark | None = None
    own_unit = "mm"

    def segments(self) -> tuple[tuple[int, int], ...]:
        """The line."""
        return (self.line,)

    def evaluate(self, points: Points, part: Part) -> np.ndarray:
        """The distance in the unit of the points."""
        found, side = points.height(self.point, self.line), self.positive_towards
        return signed(found, found if side is None else points.height(side, self.line))


class Projection(Measurement):
    """Distance between the feet of two landmarks on a line, positive from the first to the second in its direction.

    Attributes:
        points: the two landmarks.
        line: the directed line.
    """

    kind: Literal["projection"]
    points: Line
    line: Line
    own_unit = "mm"

    def segments(self) -> tuple[tuple[int, int], ...]:
        """The line."""
        return (self.line,)

    def evaluate(self, points: Points, part: Part) -> np.ndarray:
        """The distance in the unit of the points."""
        return points.projection(self.points, self.line)


class Ratio(Measurement):
    """One measurement divided by another of the same unit, both by name."""

    kind: Literal["ratio"]
    numerator: str
    denominator: str
    own_unit = "1"

    def parts(self) -> tuple[str, ...]:
        """Numerator and denominator."""
        return (self.numerator, self.denominator)

    def evaluate(self, points: Points, part: Part) -> np.ndarray:
        """The pure number."""
        numerator, denominator = part(self.numerator), part(self.denominator)
        if denominator[0] == 0:
            raise Unmeasurable("the denominator is zero")
        return numerator / denominator


class Sum(Measurement):
    """Sum of other measurements of one unit, each times a factor, and of a constant.

    Attributes:
        terms: factors by the names of measurements.
        constant: what is added, in the unit of the terms.
    """

    kind: Literal["sum"]
    terms: Annotated[dict[str, float], Field(min_length=1)]
    constant: float = 0.0
    own_unit = None

    def parts(self) -> tuple[str, ...]:
        """The terms."""
        return tuple(self.terms)

    def evaluate(self, points: Points, part: Part) -> np.ndarray:
        """The sum in the unit of the terms."""
        return np.sum([factor * part(name) for name, factor in self.terms.items()], axis=0) + self.constant


AnyKind = Annotated[
    Distance | Angle | LineAngle | Perpendicular | Projection | Ratio | Sum, Field(discriminator="kind")
]
