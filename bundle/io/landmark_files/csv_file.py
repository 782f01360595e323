"""Landmarks in CSV, of one image (``name,x,y``) or of many (``image,x1,y1,...``), and which row is of which image."""

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bundle.errors import LandmarkError, a_few
from bundle.io.formats import file_stem
from bundle.io.landmark_files.checks import (
    MAX_CELLS,
    MAX_LANDMARKS,
    parse_pair,
    pixel_set,
    read_text,
)
from bundle.records.landmarks import LandmarkSet
from bundle.records.names import composed, folded, name_parts, safe_image_id
from bundle.records.validation import shown

_SEPARATORS = (",", ";", "\t")
_EXPECTED = (
    "the first line must be the header: name,x,y for one image, or image,x1,y1,x2,y2,... or "
    "image,<name>_x,<name>_y,... for many"
)
#: The column of one coordinate: ``x1``, or ``sella_x``.
_COORDINATE = re.compile(r"([xy])([0-9]+)|(.*\S)_([xy])", re.IGNORECASE | re.DOTALL)

#: The most columns of a table: x and y of every landmark, and others beside them.
_MAX_COLUMNS = 2 * MAX_LANDMARKS + 1000

#: A spreadsheet takes a cell that starts with one of these for a formula; a writer puts an apostrophe before it.
_FORMULA_STARTS = "=+-@\uff1d\uff0b\uff0d\uff20"


class _Row(NamedTuple):
    """One row of a file: the number of the line at which it ends, 1-based, and its cells."""

    line: int
    cells: list[str]


@dataclass(frozen=True)
class WideTable:
    """A table of many images, its numbers still as text.

    Attributes:
        path: the file.
        columns: by the landmarks' names in their order, the columns of x and y, 0-based.
        rows: the rows by image name, in the order of the file.
    """

    path: Path
    columns: dict[str, tuple[int, int]]
    rows: dict[str, _Row]

    def landmarks(self, image: str) -> LandmarkSet:
        """The landmarks of one image, a key of :attr:`rows`; ``(x, y)`` in pixels.

        Raises:
            LandmarkError: when a cell holds no finite number, or a point has only one coordinate.
        """
        row = self.rows[image]
        where = f"{self.path}, line {row.line} (image {shown(image)})"
        points = [parse_pair((row.cells[x], row.cells[y]), where, name) for name, (x, y) in self.columns.items()]
        return pixel_set(where, list(self.columns), points)


def read_csv(path: Path) -> LandmarkSet | WideTable:
    """Read a CSV file of landmarks.

    Args:
        path: the file: UTF-8; separated by commas, semicolons or tabs; with a header.

    Returns:
        The landmarks where the file is of one image, else the table of many images.

    Raises:
        LandmarkError: when the file is no such table; the message names the line.
    """
    rows = _rows(path, read_text(path))
    if not rows:
        raise LandmarkError(f"{path} is empty: {_EXPECTED}.")
    header = [cell.strip() for cell in rows[0].cells]
    for row in rows[1:]:
        if len(row.cells) < len(header) or any(cell.strip() for cell in row.cells[len(header) :]):
            raise LandmarkError(
                f"{path}, line {row.line}: found {len(row.cells)} cells, but the header has {len(header)} columns; "
                "give every column a cell, empty where a landmark is missing, and put text that holds the separator in "
                "quotation marks."
            )
    where, lower = f"{path}, line {rows[0].line}", [cell.lower() for cell in header]
    own = ("image",) if "image" in lower else ("name", "x", "y")
    for column in own:
        if lower.count(column) != 1:
            raise LandmarkError(
                f"{where}: found the columns {shown(', '.join(header))}, but exactly one called {column} was expected; "
                f"{_EXPECTED}."
            )
    at = [lower.index(column) for column in own]
    if own == ("image",):
        return WideTable(path, _landmark_columns(where, header), _by_image(path, rows[1:], *at))
    at_name, at_x, at_y = at
    rows = rows[1 : MAX_LANDMARKS + 2]
    names = [row.cells[at_name] for row in rows]
    pairs = [(row.cells[at_x], row.cells[at_y]) for row in rows]
    points = [parse_pair(pair, f"{path}, line {row.line}", name) for pair, row, name in zip(pairs, rows, names)]
    return pixel_set(str(path), names, points)


def _rows(path: Path, text: str) -> list[_Row]:
    """The rows of a file that are not blank."""
    # The separator that cuts the first line into the most cells; the comma where they tie.
    first = re.sub(r'"[^"]*"', "", next(line for line in io.StringIO(text) if line.strip()))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(_SEPARATORS, key=first.count))
    rows, count = [], 0
    try:
        for cells in reader:
            count += len(cells)
            if len(cells) > _MAX_COLUMNS or count > MAX_CELLS:
                raise LandmarkError(
                    f"{path}, line {reader.line_num}: found more than {_MAX_COLUMNS} cells in the line or more than "
                    f"{MAX_CELLS} up to there, too many for landmarks; check that it is a landmark file, or split it."
                )
            if any(cell.strip() for cell in cells):
                rows.append(_Row(reader.line_num, cells))
    except csv.Error as error:
        raise LandmarkError(
            f"{path}, line {reader.line_num}: the line is no valid CSV ({error}); check the quotation marks and the "
            "length of the cells."
        ) from None
    return rows


def _by_image(path: Path, rows: list[_Row], at_image: int) -> dict[str, _Row]:
    """The rows by the names of their images."""
    found: dict[str, _Row] = {}
    for row in rows:
        image = row.cells[at_image].strip()
        if len(image) > 1 and image[0] == "'" and image[1] in _FORMULA_STARTS:
            image = image[1:]
        if not image or image in found:
            raise LandmarkError(
                f"{path}, line {row.line}: the image name {shown(image)} is empty or already has a row; write the "
                "image's file name there, one row for each image."
            )
        found[image] = row
    if not found:
        raise LandmarkError(f"{path} has a header but no row: write one row for each image.")
    return found


def _landmark_columns(where: str, header: list[str]) -> dict[str, tuple[int, int]]:
    """For each landmark of a header of many images, the columns of x and y."""
    found: dict[str, dict[str, int]] = {}
    kinds: dict[bool, str] = {}  # an example of numbered columns, and one of named ones
    for column, cell in enumerate(header):
        if match := _COORDINATE.fullmatch(cell):
            name, axis = match[2] or match[3], (match[1] or match[4]).lower()
            kinds[bool(match[2])] = cell
            if found.setdefault(name, {}).setdefault(axis, column) != column:
                raise LandmarkError(f"{where}: the column {shown(cell)} occurs more than once; keep one of them.")
    if len(kinds) != 1:
        what = (
            " and ".join(f"columns of landmarks such as {shown(cell)}" for cell in kinds.values())
            or "no landmark columns"
        )
        raise LandmarkError(f"{where}: found {what}; {_EXPECTED}.")
    for name, axes in found.items():
        if len(axes) == 1:
            raise LandmarkError(
                f"{where}: the landmark {shown(name)} has a column of {'x' if 'x' in axes else 'y'} alone; every "
                "landmark needs one of x and one of y."
            )
    return {name: (axes["x"], axes["y"]) for name, axes in found.items()}


class RowIndex:
    """The image names of a table, or of an annotation file, looked up by image.

    Names are compared as :func:`bundle.records.names.folded` does, folders by any system's separators, the ending of an
    image file counts only between files of one name.

    Args:
        rows: the names as written there.
    """

    def __init__(self, rows: Iterable[str]) -> None:
        self.rows = list(rows)
        self._whole: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for row in self.rows:
            self._whole[folded(row)].append(row)
            self._by_stem[folded(file_stem(row))].append(row)

    def find(self, image_path: Path | str, image_id: str | None = None) -> str | None:
        """The row that belongs to an image.

        The first rule that finds a row counts: the row is the image's id; the row is the end of the image's path, its
        file name at least, and the longest such row; the row without folders and without the ending of an image file is
        the image's file name without its ending. An id other than the file name without its ending says that the run
        has other images of that name: then a row has to be the id, or to name the folder.

        Args:
            image_path: the image file.
            image_id: the image's id within its run; its file name without the ending where not given.

        Returns:
            The row as written, or None where none belongs to the image.

        Raises:
            LandmarkError: when several rows fit equally well, or one does not say which image of the run it means.
        """
        image_name = str(image_path)
        parts, stem = name_parts(image_name), file_stem(image_name)
        image_id = stem if image_id is None else image_id
        if whole := self._whole.get(folded(image_id)):
            return _only(whole, image_id, image_name)
        rows = [(row, _shared_end(name_parts(row), parts)) for row in self._by_stem.get(folded(stem), [])]
        if image_id not in (stem, safe_image_id(stem)):
            bare = [row for row, _ in rows if len(name_parts(row)) == 1]
            rows = [(row, shared) for row, shared in rows if shared > 1]
            if bare and not rows:
                raise LandmarkError(
                    f"the row {shown(bare[0])} does not say which of the images of that name it belongs to, "
                    f"{image_name} or another: name the row {shown(image_id)} or by the path of the image."
                )
        longest = max((shared for _, shared in rows), default=0)
        fitting = [row for row, shared in rows if shared == longest]
        return _only(fitting, "/".join(parts[-longest:]), image_name) if fitting else None


def _shared_end(row: tuple[str, ...], path: tuple[str, ...]) -> int:
    """How many parts a row has that is the end of a path; 0 where it is not."""
    return len(row) if [*map(folded, row)] == [*map(folded, path[-len(row) :])] else 0


def _only(rows: list[str], wanted: str, image_name: str) -> str:
    """The one of some rows that fit; of several, the one that is written as wanted."""
    exact = [row for row in rows if "/".join(name_parts(row)) == composed(wanted)] if len(rows) > 1 else rows
    if len(exact) != 1:
        raise LandmarkError(
            f"the image {image_name} could belong to the rows {a_few([*map(shown, rows)])}: write the image's "
            "file name with its ending into the right row, and leave only one such row."
        )
    return exact[0]
