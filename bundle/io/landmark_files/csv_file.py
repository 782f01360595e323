"""Landmarks in CSV: one image (``name,x,y``) or many (``image,x1,y1,...`` or ``image,<name>_x,<name>_y,...``)."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bundle.errors import LandmarkError
from bundle.io.landmark_files.checks import (
    MAX_CELLS,
    MAX_LANDMARKS,
    check_names,
    parse_pair,
    pixel_set,
    read_text,
)
from bundle.records.landmarks import LandmarkSet
from bundle.records.validation import shown

_SEPARATORS = (",", ";", "\t")
_EXPECTED = (
    "the first line must be the header: name,x,y for one image, or image,x1,y1,x2,y2,... or "
    "image,<name>_x,<name>_y,... for many"
)
_NUMBERED = re.compile(r"([xy])([0-9]+)", re.IGNORECASE)
_NAMED = re.compile(r"(.*\S)_([xy])", re.IGNORECASE | re.DOTALL)

#: The most columns of a table: x and y of every landmark, and others beside them.
_MAX_COLUMNS = 2 * MAX_LANDMARKS + 1000

#: A spreadsheet takes a cell that starts with one of these for a formula; a writer puts an apostrophe before it.
_FORMULA_STARTS = "=+-@\uff1d\uff0b\uff0d\uff20"


@dataclass(frozen=True)
class _Row:
    """One row of a file: the number of the line at which it ends, 1-based, and its cells."""

    line: int
    cells: list[str]


@dataclass(frozen=True)
class WideTable:
    """A table of many images, its numbers still as text.

    Attributes:
        path: the file.
        names: the N landmark names, from the header.
        columns: N pairs of columns, 0-based, of x and y.
        rows: the rows by image name, in the order of the file.
    """

    path: Path
    names: tuple[str, ...]
    columns: tuple[tuple[int, int], ...]
    rows: dict[str, _Row]

    def landmarks(self, image: str) -> LandmarkSet:
        """The landmarks of one image.

        Args:
            image: a key of :attr:`rows`.

        Returns:
            Its landmarks, ``(x, y)`` in pixels.

        Raises:
            LandmarkError: when a cell holds no finite number, or a point has only one coordinate.
        """
        row = self.rows[image]
        where = f"{self.path}, line {row.line} (image {shown(image)})"
        points = [
            parse_pair((row.cells[x], row.cells[y]), where, name) for name, (x, y) in zip(self.names, self.columns)
        ]
        return pixel_set(where, self.names, points)


def read_csv(path: Path) -> LandmarkSet | WideTable:
    """Read a CSV file of landmarks.

    Args:
        path: the file: UTF-8; separated by commas, semicolons or tabs; with a header.

    Returns:
        The landmarks where the file is of one image, else the table of many images.

    Raises:
        LandmarkError: when the file is no such table; the message names the line.
    """
    lines = _rows(path, read_text(path))
    header_row = next(lines, None)
    if header_row is None:
        raise LandmarkError(f"{path} is empty: {_EXPECTED}.")
    lower = [cell.strip().lower() for cell in header_row.cells]
    if "image" in lower:
        return _wide(path, header_row, lines)
    missing = [name for name in ("name", "x", "y") if name not in lower]
    if missing:
        raise LandmarkError(
            f"{path}, line {header_row.line}: found the columns {shown(', '.join(header_row.cells))} but no column "
            f"{' and no column '.join(missing)}; {_EXPECTED}."
        )
    return _single(path, header_row, lines)


def _rows(path: Path, text: str) -> Iterator[_Row]:
    """The rows of a file that are not blank."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(text))
    count = 0
    try:
        for cells in reader:
            count += len(cells)
            if len(cells) > _MAX_COLUMNS or count > MAX_CELLS:
                raise LandmarkError(
                    f"{path}, line {reader.line_num}: found more than {_MAX_COLUMNS} cells in the line or more than "
                    f"{MAX_CELLS} up to there, too many for landmarks; check that it is a landmark file, or split it."
                )
            if any(cell.strip() for cell in cells):
                yield _Row(reader.line_num, cells)
    except csv.Error as error:
        raise LandmarkError(
            f"{path}, line {reader.line_num}: the line is no valid CSV ({error}); check the quotation marks and the "
            "length of the cells."
        ) from None


def _separator(text: str) -> str:
    """The separator that cuts the first line that is not blank into the most cells; the comma where they tie."""
    first = next(line for line in io.StringIO(text) if line.strip())
    unquoted = re.sub(r'"[^"]*"', "", first)
    return max(_SEPARATORS, key=unquoted.count)


def _check_length(path: Path, row: _Row, columns: int) -> None:
    """Refuse a row with fewer cells than the header, or with more that are not empty."""
    if len(row.cells) < columns or any(cell.strip() for cell in row.cells[columns:]):
        raise LandmarkError(
            f"{path}, line {row.line}: found {len(row.cells)} cells, but the header has {columns} columns; give every "
            "column a cell, empty where a landmark is missing, and put text that holds the separator in quotation "
            "marks."
        )


def _single(path: Path, header_row: _Row, lines: Iterator[_Row]) -> LandmarkSet:
    """The landmarks of a file with the columns name, x, y."""
    header = [cell.strip().lower() for cell in header_row.cells]
    _check_columns(f"{path}, line {header_row.line}", [cell for cell in header if cell in ("name", "x", "y")])
    at_name, at_x, at_y = (header.index(column) for column in ("name", "x", "y"))
    names: list[str] = []
    points: list[list[float]] = []
    for row in lines:
        _check_length(path, row, len(header))
        names.append(row.cells[at_name].strip())
        points.append(parse_pair((row.cells[at_x], row.cells[at_y]), f"{path}, line {row.line}", names[-1]))
        if len(names) > MAX_LANDMARKS:
            break  # more than pixel_set takes
    return pixel_set(str(path), names, points)


def _wide(path: Path, header_row: _Row, lines: Iterator[_Row]) -> WideTable:
    """The table of a file with a column ``image``."""
    header = [cell.strip() for cell in header_row.cells]
    names, columns = _landmark_columns(f"{path}, line {header_row.line}", header)
    at_image = [cell.lower() for cell in header].index("image")
    rows: dict[str, _Row] = {}
    for row in lines:
        _check_length(path, row, len(header))
        image = row.cells[at_image].strip()
        if len(image) > 1 and image[0] == "'" and image[1] in _FORMULA_STARTS:
            image = image[1:]
        if not image or image in rows:
            raise LandmarkError(
                f"{path}, line {row.line}: the image name {shown(image)} is empty or already has a row; write the "
                "image's file name there, one row for each image."
            )
        rows[image] = row
    if not rows:
        raise LandmarkError(f"{path} has a header but no row: write one row for each image.")
    return WideTable(path, names, columns, rows)


def _landmark_columns(where: str, header: list[str]) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...]]:
    """The landmark names of a wide header and, for each, the columns of x and y."""
    matches = [(_NUMBERED.fullmatch(cell), _NAMED.fullmatch(cell)) for cell in header]
    numbered, named = next((m for m, _ in matches if m), None), next((m for _, m in matches if m), None)
    if numbered and named:
        raise LandmarkError(
            f"{where}: found numbered columns such as {shown(numbered.string)} and named ones such as "
            f"{shown(named.string)}, but one kind was expected; rename the columns that are no landmarks, or all of a "
            "kind."
        )
    column_of = "{axis}{name}" if numbered else "{name}_{axis}"
    found: dict[str, dict[str, int]] = {}
    known = ["image" for cell in header if cell.lower() == "image"]
    for column, match in enumerate(by_number or by_name for by_number, by_name in matches):
        if match is not None:
            axis, name = match.groups() if numbered else match.groups()[::-1]
            found.setdefault(name, {})[axis.lower()] = column
            known.append(column_of.format(axis=axis.lower(), name=name))
    _check_columns(where, known)
    if not found:
        raise LandmarkError(f"{where}: found the column image but no landmark columns; {_EXPECTED}.")
    for name, axes in found.items():
        if len(axes) == 1:
            there, lacking = ("x", "y") if "x" in axes else ("y", "x")
            raise LandmarkError(
                f"{where}: found the column {column_of.format(axis=there, name=name)} but no column "
                f"{column_of.format(axis=lacking, name=name)}; every landmark needs a column of x and one of y."
            )
    check_names(where, list(found))
    return tuple(found), tuple((axes["x"], axes["y"]) for axes in found.values())


def _check_columns(where: str, columns: list[str]) -> None:
    """Refuse a column that occurs twice."""
    for column, count in Counter(columns).items():
        if count > 1:
            raise LandmarkError(f"{where}: the column {shown(column)} occurs more than once; keep one of them.")
