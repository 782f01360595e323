"""A table that was collected, as one CSV file."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from bundle.writers.atomic import atomic_file


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Path:
    """Write a table, whole or not at all; the header alone where there are no rows, so that no older table lingers.

    Args:
        path: the file; its folder is made where it does not exist.
        header: the columns' names.
        rows: the cells, which are written as they are: see :func:`bundle.writers.naming.spreadsheet_safe`.

    Returns:
        The file.

    Raises:
        BundleError: when the file cannot be written.
    """
    with atomic_file(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    return path
