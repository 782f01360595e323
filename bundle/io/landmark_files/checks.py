"""What the landmark formats share: the door through which a file's text comes in, and the checks on its numbers."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bundle.records.errors import LandmarkError
from bundle.records.landmarks import MAX_COORDINATE, LandmarkSet, names_problem

#: The largest landmark file that is read, in bytes.
MAX_FILE_BYTES = 64 * 1024 * 1024

#: The largest file of one image's landmarks, in bytes: 10,000 points of 3D Slicer with all that it notes of each.
MAX_DOCUMENT_BYTES = 16 * 1024 * 1024

#: The most cells of a table that are read: 100,000 images with 50 landmarks.
MAX_CELLS = 10_000_000

#: The most landmarks of one image that are read.
MAX_LANDMARKS = 10_000

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxdict, _SHORT.maxlist, _SHORT.maxstring = 2, 4, 4, 60

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INFINITE = re.compile(r"[+-]?inf(?:inity)?", re.IGNORECASE)


def shown(value: object, limit: int = 60) -> str:
    """A value as it stands in an error message: on one line, quoted where it is text, cut at ``limit`` characters."""
    text = _SHORT.repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def read_text(path: Path, most: int = MAX_FILE_BYTES) -> str:
    """Read a whole landmark file as text.

    Args:
        path: the file.
        most: how many bytes it may have.

    Returns:
        Its text, UTF-8, without a byte order mark.

    Raises:
        LandmarkError: when the file cannot be read, is no plain file, is too large, is empty, or is not UTF-8.
    """
    try:
        if path.is_dir():
            raise LandmarkError(f"{path} is a folder, but one landmark file was expected: name the file.")
        size = path.stat().st_size
        if path.exists() and not path.is_file():  # a pipe or a device may never end
            raise LandmarkError(f"{path} is no plain file, but one landmark file was expected: name the file.")
        if size > most:
            raise LandmarkError(
                f"{path} has {size / 1024**2:.0f} MB, more than the {most // 1024**2} MB that such a landmark file may "
                "have: check that it is a landmark file, or split it."
            )
        data = path.read_bytes()
    except FileNotFoundError:
        raise LandmarkError(f"there is no landmark file {path}: check the path.") from None
    except OSError as error:
        raise LandmarkError(
            f"{path} cannot be read ({error.strerror or error}): check the path and its rights."
        ) from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LandmarkError(
            f"{path} is not UTF-8 text (the byte 0x{data[error.start]:02x} at position {error.start} does not belong "
            "there): save it again as UTF-8."
        ) from None
    if "\0" in text:
        raise LandmarkError(f"{path} holds zero bytes, which UTF-8 text does not: save it again as UTF-8.")
    if not text.strip():
        raise LandmarkError(f"{path} is empty: write the landmarks into it.")
    return text


def parse_pair(cells: Sequence[str], where: str, name: str) -> list[float]:
    """The two numbers in the cells of one landmark.

    Args:
        cells: x and y as text.
        where: the file and the line, for the message.
        name: the landmark, for the message.

    Returns:
        The numbers; NaN where a cell is empty or says ``nan``.

    Raises:
        LandmarkError: when a cell holds anything else, infinity included.
    """
    pair = []
    for axis, cell in zip("xy", cells):
        text = cell.strip()
        value = float(text) if _NUMBER.fullmatch(text) else math.nan
        if text and text.lower() != "nan" and not abs(value) <= MAX_COORDINATE:
            raise LandmarkError(f"{where}, landmark {shown(name)}, {axis}: found {_wrong_number(text, value)}.")
        pair.append(value)
    return pair


def _wrong_number(text: str, value: float) -> str:
    if math.isinf(value) or _INFINITE.fullmatch(text):
        return f"the infinite number {shown(text)}, but a finite number of pixels was expected; correct it"
    if math.isfinite(value):
        return f"{value:g}, but at most {MAX_COORDINATE:g} was expected; correct it"
    hint = "write the decimals after a point, not a comma" if "," in text else "correct it, or leave the cell empty"
    return f"{shown(text)} where a number of pixels was expected; {hint}"


def check_number(value: object, where: str) -> float:
    """The number that a JSON value is.

    Args:
        value: the value as JSON gave it.
        where: the place of the value, with the file, for the message.

    Returns:
        The number; NaN where the value is null or NaN.

    Raises:
        LandmarkError: when it is no number, or infinite.
    """
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise LandmarkError(
            f"{where}: found {shown(value)} where a number was expected; write a number, or null for a landmark that "
            "is missing."
        )
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if math.isinf(number):
        raise LandmarkError(f"{where}: found an infinite number, but a finite one was expected; correct it.")
    return _plausible(number, where)


def _plausible(value: float, where: str) -> float:
    """The same number, which is NaN or no larger than any image."""
    if abs(value) > MAX_COORDINATE:
        raise LandmarkError(f"{where}: found {value:g}, but at most {MAX_COORDINATE:g} was expected; correct it.")
    return value


def make_set(where: str, names: Sequence[str], points: Sequence[Sequence[float]]) -> LandmarkSet:
    """Make the landmarks of one image, with messages that name their place.

    Args:
        where: the file, and the line where there is one, for the message.
        names: N names.
        points: N pairs ``(x, y)`` in pixels; a pair of NaN is a missing landmark.

    Returns:
        The landmarks.

    Raises:
        LandmarkError: when there is none, there are more than :data:`MAX_LANDMARKS`, a name cannot be used, or only
            one coordinate of a pair is given.
    """
    check_names(where, names)
    array = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    given = ~np.isnan(array)
    for place in map(int, np.flatnonzero(given[:, 0] != given[:, 1])):
        here, lacking = ("x", "y") if given[place, 0] else ("y", "x")
        raise LandmarkError(
            f"{where}: landmark {shown(names[place])} has {here} but no {lacking}; give both, or neither where it is "
            "missing."
        )
    return LandmarkSet(tuple(names), array)


def check_names(where: str, names: Sequence[str]) -> None:
    """Refuse names that no set of landmarks can have.

    Args:
        where: the file, and the line where there is one, for the message.
        names: the names.

    Raises:
        LandmarkError: when there are more than :data:`MAX_LANDMARKS`, or see
            :func:`bundle.records.landmarks.names_problem`.
    """
    if len(names) > MAX_LANDMARKS:
        raise LandmarkError(
            f"{where} holds {len(names)} landmarks, more than the {MAX_LANDMARKS} that are read: check that it is a "
            "landmark file."
        )
    if problem := names_problem(tuple(names)):
        raise LandmarkError(f"{where}: {problem}.")
