"""Named landmarks of one image."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bundle.errors import LandmarkError
from bundle.records.names import same_names, unpaired

#: The longest name of a landmark, in characters.
MAX_NAME = 200

#: The largest coordinate, in pixels or mm: no image is that large, and squares of it are exact enough.
MAX_COORDINATE = 1e9

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

#: What a spreadsheet could run: a formula by its first sign, or by a sum with a call or a reference to a program in it.
_FORMULA = re.compile(r"[=@\uff1d\uff20]|[+\-\uff0b\uff0d].*[(|!]")


def name_problem(name: str) -> str | None:
    """Why a landmark cannot have a name: names come out of strangers' files and go into tables, pictures and logs.

    Args:
        name: the name.

    Returns:
        What is wrong with it, to follow "the landmark name ...", or None.
    """
    rules = {
        f"has {len(name)} characters, more than {MAX_NAME}": len(name) > MAX_NAME,
        "holds control characters": _CONTROL.search(name),
        "reads like a formula of a spreadsheet": _FORMULA.match(name),
        "leads out of a folder": ".." in re.split(r"[/\\]", name),
    }
    return next((problem for problem, broken in rules.items() if broken), None)


@lru_cache(maxsize=64)
def names_problem(names: tuple[str, ...]) -> str | None:
    """Why names cannot be those of one set of landmarks, or None; remembered, for all rows of a table have the same."""
    if not names:
        return "there is no landmark: write at least one"
    seen: set[str] = set()
    for number, name in enumerate(names, start=1):
        if not name.strip():
            return f"landmark number {number} has no name: give it one"
        if problem := name_problem(name):
            return f"the landmark name {name[:60]!r} {problem}: choose a plain one"
        if name in seen:
            return f"the landmark name {name[:60]!r} is used more than once: make the names differ"
        seen.add(name)
    return None


def are_numbers(names: Sequence[str]) -> bool:
    """Whether landmarks are only numbered, as by a header ``x1,y1,x2,y2``: such names say nothing but the order."""
    return all(name.isascii() and name.isdecimal() for name in names)


def outside_image(points: np.ndarray, width: int, height: int) -> np.ndarray:
    """Which points lie outside ``[0, width-1] x [0, height-1]`` by more than half a pixel, (N,); none that is NaN."""
    beyond = (points < -0.5) | (points > np.array([width - 0.5, height - 0.5]))
    return np.asarray(beyond.any(axis=1))


def truth_inside(points: np.ndarray, width: int, height: int) -> np.ndarray:
    """True points without those outside their image, which are NaN then: nothing can be found there."""
    return np.where(outside_image(points, width, height)[:, None], np.nan, points)


@dataclass(frozen=True)
class LandmarkSet:
    """Named landmarks of one image, in pixels.

    Attributes:
        names: N unique, non-empty names.
        points: array of shape (N, 2), float64, ``(x, y)`` = (column, row), 0-based, pixel centres at integers;
            a row of NaN is a missing landmark.

    Raises:
        LandmarkError: when there is no landmark, the counts differ, a name is empty, used twice or not safe to write
            (see :func:`name_problem`), or a point is neither wholly NaN nor within :data:`MAX_COORDINATE`.
    """

    names: tuple[str, ...]
    points: np.ndarray

    def __post_init__(self) -> None:
        points = np.asarray(self.points, dtype=np.float64)
        names = tuple(str(name) for name in self.names)
        if points.ndim != 2 or points.shape[1] != 2:
            raise LandmarkError(f"landmarks need an array of shape (N, 2), got {points.shape}.")
        if len(names) != len(points):
            raise LandmarkError(f"there are {len(names)} landmark names for {len(points)} points: give one for each.")
        if problem := names_problem(names):
            raise LandmarkError(f"{problem}.")
        sound = np.isnan(points).all(axis=1) | (np.abs(points) <= MAX_COORDINATE).all(axis=1)
        for place in np.flatnonzero(~sound):
            raise LandmarkError(
                f"landmark {names[place]} has the coordinates {points[place].tolist()}: two finite numbers up to "
                f"{MAX_COORDINATE:g}, or none, expected."
            )
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "points", points)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def missing(self) -> np.ndarray:
        """Boolean array of shape (N,): which landmarks are missing."""
        return np.isnan(self.points).any(axis=1)

    def require_inside(self, width: int, height: int, where: str, missing: bool = False) -> None:
        """Refuse landmarks that are missing or outside the image.

        Args:
            width: columns of the image.
            height: rows of the image.
            where: what the landmarks belong to, for the message.
            missing: whether some may be missing.

        Raises:
            LandmarkError: naming the first landmark that is missing or outside ``[0, width-1] x [0, height-1]``
                (by more than half a pixel).
        """
        outside = outside_image(self.points, width, height)
        for name, (x, y), absent, off in zip(self.names, self.points, self.missing, outside):
            if absent and not missing:
                raise LandmarkError(f"{where}: landmark {name} has no coordinates; every template landmark needs them.")
            if off:
                raise LandmarkError(
                    f"{where}: landmark {name} at (x={x:g}, y={y:g}) lies outside the image of {width} x {height} "
                    "pixels; check that the landmarks belong to this image and are (column, row) pixels."
                )

    def in_order_of(self, names: Sequence[str], where: str) -> LandmarkSet:
        """The same landmarks in the order, and under the names, of another set.

        They are paired by name (see :func:`bundle.records.names.same_names`). Where one of the two sets is only
        numbered, they are paired by order.

        Args:
            names: the names of the other set.
            where: what these landmarks belong to, for the message.

        Raises:
            LandmarkError: when the two sets are not of the same landmarks.
        """
        if len(self) != len(names):
            raise LandmarkError(
                f"{where} has {len(self)} landmarks, but the template has {len(names)}: use the landmarks that the "
                "template was annotated with."
            )
        order = same_names(names, self.names)
        if order is None and (are_numbers(self.names) or are_numbers(names)):
            order = [own for _, own in sorted(zip(_in_order(names), _in_order(self.names)))]
        if order is None:
            strange, lacking = unpaired(self.names, names), unpaired(names, self.names)
            raise LandmarkError(
                f"{where} has the landmarks {', '.join(strange[:5])}, but the template has {', '.join(lacking[:5])}: "
                "give the same landmarks the same names, or number the columns x1,y1,x2,y2,... in the template's order."
            )
        return LandmarkSet(tuple(names), self.points[order])


def _in_order(names: Sequence[str]) -> list[int]:
    """The places of names in the order that they stand for: that of their numbers where they are numbers."""
    places = range(len(names))
    return sorted(places, key=lambda place: int(names[place])) if are_numbers(names) else list(places)
