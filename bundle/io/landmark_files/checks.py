"""What the landmark formats share: the door through which a file's text comes in, and what its numbers may be."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, BeforeValidator

from bundle.errors import BundleError, LandmarkError
from bundle.records.landmarks import MAX_COORDINATE, LandmarkSet
from bundle.records.validation import shown

#: The largest landmark file that is read, in bytes.
MAX_FILE_BYTES = 64 * 1024 * 1024

#: The largest file of one image's landmarks, in bytes: 10,000 points of 3D Slicer with all that it notes of each.
MAX_DOCUMENT_BYTES = 16 * 1024 * 1024

#: The most cells of a table that are read: 100,000 images with 50 landmarks.
MAX_CELLS = 10_000_000

#: The most landmarks of one image that are read.
MAX_LANDMARKS = 10_000

#: In an image with sides of at least this many pixels, landmarks that all lie in the first hundred are percentages.
_SIDE_OF_PERCENT = 1000

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def _within_limits(value: float) -> float:
    if abs(value) > MAX_COORDINATE:
        raise ValueError(f"a finite number of at most {MAX_COORDINATE:g}")
    return value


#: A coordinate in JSON; null and NaN are NaN, of a landmark that is missing.
Coordinate = Annotated[
    float, BeforeValidator(lambda value: math.nan if value is None else value), AfterValidator(_within_limits)
]


def read_bytes(path: Path, most: int = MAX_FILE_BYTES, error: type[BundleError] = LandmarkError) -> bytes:
    """Read a whole file.

    Args:
        path: the file.
        most: how many bytes it may have.
        error: the kind of error to raise.

    Raises:
        BundleError: of the kind ``error``, when the file cannot be read, is no plain file, or is too large.
    """
    try:
        size = path.stat().st_size
        if not path.is_file():  # a pipe or a device may never end
            raise error(f"{path} is no plain file: name one.")
        if size > most:
            raise error(
                f"{path} has {size / 1024**2:.0f} MB, more than the {most // 1024**2} MB that such a file may have: "
                "check that it is the right one, or split it."
            )
        return path.read_bytes()
    except FileNotFoundError:
        raise error(f"there is no file {path}: check the path.") from None
    except OSError as refused:
        raise error(
            f"{path} cannot be read ({refused.strerror or refused}): check the path and its permissions."
        ) from None


def read_text(path: Path, most: int = MAX_FILE_BYTES, error: type[BundleError] = LandmarkError) -> str:
    """Read a whole file as text, see :func:`read_bytes`.

    Returns:
        Its text, UTF-8, without a byte order mark.

    Raises:
        BundleError: of the kind ``error``, when the file cannot be read, is empty, or is not UTF-8.
    """
    data = read_bytes(path, most, error)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        raise error(
            f"{path} is not UTF-8 text (the byte 0x{data[wrong.start]:02x} at position {wrong.start} does not belong "
            "there): save it again as UTF-8."
        ) from None
    if "\0" in text:
        raise error(f"{path} holds zero bytes, which UTF-8 text does not: save it again as UTF-8.")
    if not text.strip():
        raise error(f"{path} is empty: fill it, or name another.")
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
            raise LandmarkError(
                f"{where}, landmark {shown(name)}, {axis}: found {shown(text)} where a finite number of pixels was "
                "expected; write the decimals after a point, or leave the cell empty."
            )
        pair.append(value)
    return pair


def make_set(where: str, names: Sequence[str], points: Sequence[Sequence[float]] | np.ndarray) -> LandmarkSet:
    """Make the landmarks of one image, with messages that name their place.

    Args:
        where: the file, and the line where there is one, for the message.
        names: N names.
        points: N pairs ``(x, y)`` in pixels; a pair of NaN is a missing landmark.

    Returns:
        The landmarks.

    Raises:
        LandmarkError: when there are more than :data:`MAX_LANDMARKS`, or they are no :class:`LandmarkSet`.
    """
    if len(names) > MAX_LANDMARKS:
        raise LandmarkError(
            f"{where} holds {len(names)} landmarks, more than the {MAX_LANDMARKS} that are read: check that it is a "
            "landmark file."
        )
    try:
        return LandmarkSet(tuple(name.strip() for name in names), np.asarray(points, np.float64).reshape(-1, 2))
    except LandmarkError as error:
        raise LandmarkError(f"{where}: {error}") from None


def pixel_set(
    where: str,
    names: Sequence[str],
    points: Sequence[Sequence[float]],
    size: tuple[int, int] | None = None,
) -> LandmarkSet:
    """Make the landmarks of one image out of a file in pixels.

    Args:
        where: the file, and the line where there is one, for the message.
        names: N names.
        points: N pairs ``(x, y)`` in pixels; a pair of NaN, or ``(-1, -1)``, is a missing landmark.
        size: ``(width, height)`` of the image; None where it is not known.

    Raises:
        LandmarkError: as :func:`make_set` and :func:`refuse_shares`.
    """
    array = np.array(points, dtype=np.float64).reshape(-1, 2)
    array[(array == -1).all(axis=1)] = np.nan
    found = make_set(where, names, array)
    refuse_shares(where, found.points, size)
    return found


def refuse_shares(where: str, points: np.ndarray, size: tuple[int, int] | None) -> None:
    """Refuse shares or percentages of the sides, which would be taken for points in the corner of the image.

    All points within the first pixel, and not all on whole numbers, are shares. Three points or more within the first
    hundred pixels of an image of a thousand or more are percentages.

    Args:
        where: what the points belong to, for the message.
        points: (N, 2), NaN where a landmark is missing.
        size: ``(width, height)`` of the image; None where it is not known, then percentages are not.

    Raises:
        LandmarkError: when they are no pixels.
    """
    known = points[np.isfinite(points).all(axis=1)]
    if not len(known) or known.min() < 0:
        return
    shares = known.max() <= 1 and bool((known != np.round(known)).any())
    percent = len(known) >= 3 and 1 < known.max() <= 100 and size is not None and min(size) >= _SIDE_OF_PERCENT
    if shares or percent:
        raise LandmarkError(
            f"{where}: all landmarks lie within {'one pixel' if shares else 'the first hundred pixels'}, as "
            f"{'shares' if shares else 'percentages'} of the sides do, but pixels were expected; multiply x by the "
            "width and y by the height of the image."
        )
