"""The tables of a whole run, each written whole or not at all."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bundle.errors import one_line
from bundle.records.measured_value import MeasuredValue
from bundle.writers.atomic import atomic_file
from bundle.writers.naming import printable, spreadsheet_safe

_MEASUREMENTS = ("image", "measurement", "value", "unit", "uncertainty", "normal_low", "normal_high", "class", "note")


def write_table(path: Path, header: Sequence[str], rows: Iterable[Iterable[Any]], form: str = ".4f") -> Path:
    """Write a CSV table; the header alone where there are no rows, so that no older table lingers.

    Args:
        path: the file; its folder is made where it does not exist.
        header: the columns' names.
        rows: the cells. No text can be taken for a formula by a spreadsheet; a number that is unknown, None or NaN, is
            an empty cell. Rows are written as they come, so that a long table takes no memory.
        form: how numbers with a fraction are written.

    Returns:
        The file.

    Raises:
        BundleError: when the file cannot be written.
    """

    def cell(value: Any) -> str:
        if isinstance(value, str):
            return spreadsheet_safe(printable(value))
        if value is None or math.isnan(value):
            return ""
        return f"{value:z{form}}" if isinstance(value, float) else str(value)

    with atomic_file(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(map(cell, row) for row in rows)
    return path


def write_landmarks(folder: Path, count: int, images: Iterable[tuple[str, np.ndarray]]) -> Path:
    """Write ``landmarks.csv``: ``image,x1,y1,x2,y2,...``, a row for each image.

    The header is numbered whatever the landmarks are called: landmark number i of the template is ``xi,yi``. The table
    can be read as landmarks of a template or as true landmarks.

    Args:
        folder: the folder of the results.
        count: N, the number of landmarks.
        images: the id of each image, and (N, 2), pixels ``(x, y)``; a point that is not finite becomes two empty cells.
    """
    header = ["image", *(f"{axis}{i}" for i in range(1, count + 1) for axis in "xy")]
    rows = ((name, *np.where(np.isfinite(points), points, math.nan).ravel().tolist()) for name, points in images)
    return write_table(folder / "landmarks.csv", header, rows, ".3f")


def write_errors(folder: Path, failures: Iterable[tuple[str, str]]) -> Path:
    """Write ``errors.csv``: the files that could not be used, each with the reason; each row is one line."""
    rows = ((one_line(file), one_line(reason)) for file, reason in failures)
    return write_table(folder / "errors.csv", ("file", "reason"), rows)


def write_notes(folder: Path, notes: Iterable[tuple[str, str, str]]) -> Path:
    """Write ``notes.csv``: image, writer and reason where something is not written for a reason that is no failure."""
    return write_table(folder / "notes.csv", ("image", "writer", "note"), (map(one_line, note) for note in notes))


def measurement_cells(value: MeasuredValue) -> list[str | float | None]:
    """One measurement as the cells of a row, without the image."""
    low, high = value.normal_range or (None, None)
    texts = value.category or "", value.note or ""
    return [value.name, value.value, value.unit, value.uncertainty, low, high, *texts]


def write_measurements(folder: Path, rows: Iterable[Sequence[Any]]) -> Path:
    """Write ``measurements.csv``: each row is the image and what :func:`measurement_cells` made of a value."""
    return write_table(folder / "measurements.csv", _MEASUREMENTS, rows)
