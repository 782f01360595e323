"""Finding and reading the files of a layout, with sentences that say what is wrong."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bundle.io.formats import image_suffix
from bundle.io.landmark_files.checks import parse_pair, read_text
from bundle.records.errors import BundleError


class DataSetError(BundleError):
    """A data set that does not have the layout that it should have."""


def images_below(folder: Path) -> dict[str, Path]:
    """All image files in a folder and its subfolders, by name without ending.

    Raises:
        DataSetError: when two have the same name.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        suffix = image_suffix(path.name)
        if not suffix or not path.is_file():
            continue
        name = path.name[: -len(suffix)]
        if name in found:
            raise DataSetError(
                f"{path} and {found[name]} have the same name: a data set needs names that differ, rename one of them."
            )
        found[name] = path
    return found


def find_folder(root: Path, *names: str) -> Path | None:
    """The first folder at or below ``root`` that has one of the names, whatever its case."""
    wanted = {name.lower() for name in names}
    below = sorted(path for path in root.rglob("*") if path.is_dir() and path.name.lower() in wanted)
    return root if root.name.lower() in wanted else (below[0] if below else None)


def find_file(root: Path, name: str) -> Path | None:
    """The first file below ``root`` of that name, whatever its case."""
    found = sorted(path for path in root.rglob("*") if path.name.lower() == name.lower() and path.is_file())
    return found[0] if found else None


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        DataSetError: when it is none.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DataSetError(f"{path} is no valid JSON (line {error.lineno}): download or export it again.") from None


def csv_rows(path: Path) -> list[list[str]]:
    """The rows of a CSV file that are not blank, cells stripped."""
    lines = read_text(path).splitlines()
    separator = max(",;\t", key=lines[0].count)
    return [
        [cell.strip() for cell in row]
        for row in csv.reader(lines, delimiter=separator)
        if any(cell.strip() for cell in row)
    ]


def pairs(cells: Sequence[str], count: int | None, where: str) -> np.ndarray:
    """Cells ``x1, y1, x2, y2, ...`` as points.

    Args:
        cells: the cells.
        count: how many points there must be; None for any number.
        where: file and row, for the message.

    Returns:
        (N, 2), NaN where both cells are empty.

    Raises:
        DataSetError: when the number of cells is not twice ``count``.
    """
    if len(cells) % 2 or not cells or (count is not None and len(cells) != 2 * count):
        wanted = "an even number" if count is None else f"{2 * count} ({count} landmarks)"
        raise DataSetError(
            f"{where} has {len(cells)} coordinates, expected {wanted}: this is another layout or a damaged file."
        )
    couples = enumerate(zip(cells[::2], cells[1::2]), start=1)
    points = np.array([parse_pair(couple, where, str(number)) for number, couple in couples], dtype=np.float64)
    if (np.isnan(points[:, 0]) != np.isnan(points[:, 1])).any():
        raise DataSetError(f"{where} has a landmark with one coordinate only: give both, or none.")
    return points


def point(value: Any, where: str) -> tuple[float, float]:
    """Two finite JSON numbers.

    Raises:
        DataSetError: when it is anything else.
    """
    try:
        x, y = (float(number) for number in value[:2])
    except (TypeError, ValueError, IndexError, KeyError):
        raise DataSetError(
            f"{where} is {value!r}, expected two numbers x and y: mend or leave out the point."
        ) from None
    if not (math.isfinite(x) and math.isfinite(y)):
        raise DataSetError(f"{where} is {value!r}, expected two finite numbers: mend or leave out the point.")
    return x, y


def positive(value: Any, where: str) -> float:
    """A positive finite number, such as a spacing.

    Raises:
        DataSetError: when it is anything else.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise DataSetError(f"{where} is {value!r}, expected a positive number of millimetres: mend the file.")
    return number


def arrange(named: dict[str, tuple[float, float]], names: Sequence[str], where: str) -> np.ndarray:
    """Named points in a given order, NaN where one is missing: (N, 2).

    Raises:
        DataSetError: when a name is unknown.
    """
    unknown = sorted(set(named) - set(names))
    if unknown:
        raise DataSetError(
            f"{where} has the landmark {unknown[0]!r}, which the rest of the data set does not have: known are "
            f"{', '.join(names[:8])}{', ...' if len(names) > 8 else ''}; rename it or leave it out."
        )
    return np.array([named.get(name, (math.nan, math.nan)) for name in names], dtype=np.float64)


def name_order(sets: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """All names of several sets in the order in which they first appear."""
    return tuple(dict.fromkeys(name for names in sets for name in names))
