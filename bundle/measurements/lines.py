"""Lengths and angles between the landmarks of an image, for many copies of them at once.

Copy 0 is the image itself; the others are what derivatives are taken from, and never change a sign that copy 0 has.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: By how much a coordinate is moved for its derivative: rounding and curvature each err by less than a millionth.
STEP = 1e-5

#: A line from one landmark to another, by their numbers.
Line = tuple[int, int]


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

    def step(self, line: Line) -> np.ndarray:
        """From the first landmark of a line to its second, (P, 2) in P copies."""
        for index in line:
            if not np.isfinite(self.copies[0, index]).all():
                raise Unmeasurable(f"landmark {self.names[index]} is missing")
        return self.copies[:, line[1]] - self.copies[:, line[0]]

    def length(self, line: Line) -> np.ndarray:
        """Length of a line, (P,)."""
        found = np.hypot(*self.step(line).T)
        if found[0] == 0:
            raise Unmeasurable("two of its landmarks lie on one another")
        return found

    def projection(self, pair: Line, line: Line) -> np.ndarray:
        """How far one goes along a directed line on the way from the first landmark of a pair to the second, (P,)."""
        return (self.step(pair) * self.step(line)).sum(axis=1) / self.length(line)

    def height(self, point: int, line: Line) -> np.ndarray:
        """Distance of a landmark from a directed line, positive on the side to which x turns towards y, (P,)."""
        return _cross(self.step(line), self.step((line[0], point))) / self.length(line)

    def turn(self, first: Line, second: Line) -> np.ndarray:
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
