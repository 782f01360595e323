"""A number that depends on points, with its derivatives: what errors are propagated through."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


class Unmeasurable(Exception):
    """A measurement has no value in an image; the message says why, without a full stop."""


@dataclass(frozen=True)
class Quantity:
    """A value and how it changes with each point.

    Attributes:
        value: the value: an angle in degrees, a length in the unit of the points, or a pure number.
        gradient: (N, 2), the derivatives of the value by x and y of each of N points.
    """

    value: float
    gradient: np.ndarray

    def standard_deviation(self, deviations: np.ndarray) -> float:
        """Standard deviation of the value by first-order propagation.

        Args:
            deviations: (N, 2), standard deviation of x and y of each point, in the unit of the points, the errors
                independent of each other; NaN where not known.

        Returns:
            The square root of the sum of (derivative times deviation) squared over what the value depends on; NaN
            where one of these deviations is not known.
        """
        used = self.gradient != 0
        return float(np.sqrt(np.sum((self.gradient[used] * deviations[used]) ** 2)))


def distance(points: np.ndarray, a: int, b: int) -> Quantity:
    """Distance between the points a and b of ``points``, (N, 2)."""
    step = points[b] - points[a]
    length = _length(step)
    gradient = np.zeros_like(points)
    gradient[b] += step / length
    gradient[a] -= step / length
    return Quantity(length, gradient)


def turn(points: np.ndarray, first: tuple[int, int], second: tuple[int, int]) -> Quantity:
    """Angle from one directed line to another.

    Args:
        points: (N, 2), ``(x, y)``.
        first: the line from its first point to its second.
        second: the same of the other line.

    Returns:
        Degrees, above -180 to 180, positive from x towards y, which is clockwise as images are shown.
    """
    (angle, gradient), (other, other_gradient) = _direction(points, *first), _direction(points, *second)
    turned = math.remainder(other - angle, 2 * math.pi)
    turned = math.pi if turned == -math.pi else turned
    return Quantity(math.degrees(turned), np.degrees(other_gradient - gradient))


def height(points: np.ndarray, point: int, line: tuple[int, int]) -> Quantity:
    """Perpendicular distance of a point from a directed line, positive on the side to which x turns towards y."""
    start, end = line
    step = points[end] - points[start]
    length = _length(step)
    normal = np.array([-step[1], step[0]]) / length
    to_point = points[point] - points[start]
    share = float(to_point @ step) / length**2
    gradient = np.zeros_like(points)
    gradient[point] += normal
    gradient[end] -= share * normal
    gradient[start] -= (1 - share) * normal
    return Quantity(float(to_point @ normal), gradient)


def projection(points: np.ndarray, pair: tuple[int, int], line: tuple[int, int]) -> Quantity:
    """How far one goes along a directed line on the way from the first point of a pair to the second."""
    start, end = line
    step = points[end] - points[start]
    length = _length(step)
    along = step / length
    step = points[pair[1]] - points[pair[0]]
    travelled = float(step @ along)
    across = (step - travelled * along) / length
    gradient = np.zeros_like(points)
    gradient[pair[1]] += along
    gradient[pair[0]] -= along
    gradient[end] += across
    gradient[start] -= across
    return Quantity(travelled, gradient)


def signed(quantity: Quantity, sign: float) -> Quantity:
    """A quantity times 1 or -1."""
    return Quantity(quantity.value * sign, quantity.gradient * sign)


def magnitude(quantity: Quantity) -> Quantity:
    """The absolute value; at 0, the derivatives of the value itself."""
    return signed(quantity, -1.0 if quantity.value < 0 else 1.0)


def ratio(numerator: Quantity, denominator: Quantity) -> Quantity:
    """One quantity divided by another."""
    if denominator.value == 0:
        raise Unmeasurable("the denominator is zero")
    value = numerator.value / denominator.value
    return Quantity(value, (numerator.gradient - value * denominator.gradient) / denominator.value)


def weighted_sum(terms: list[tuple[float, Quantity]], constant: float) -> Quantity:
    """The sum of quantities, each times its factor, and of a constant."""
    value = constant + sum(factor * term.value for factor, term in terms)
    gradient = np.sum([factor * term.gradient for factor, term in terms], axis=0)
    return Quantity(value, gradient)


def _direction(points: np.ndarray, start: int, end: int) -> tuple[float, np.ndarray]:
    """Angle of a directed line in radians, with its gradient."""
    x, y = points[end] - points[start]
    squared = _length(points[end] - points[start]) ** 2
    gradient = np.zeros_like(points)
    gradient[end] += np.array([-y, x]) / squared
    gradient[start] -= np.array([-y, x]) / squared
    return math.atan2(y, x), gradient


def _length(step: np.ndarray) -> float:
    length = float(np.hypot(*step))
    if length == 0:
        raise Unmeasurable("two of its landmarks lie on one another")
    return length
