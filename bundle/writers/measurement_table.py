"""The measurements of all images of a run as one CSV table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from bundle.records.measured_value import MeasuredValue
from bundle.writers.csv_table import write_csv
from bundle.writers.naming import printable, spreadsheet_safe

_HEADER = ("image", "measurement", "value", "unit", "uncertainty", "normal_low", "normal_high", "class", "note")


def measurement_cells(value: MeasuredValue) -> list[str]:
    """One measurement as the cells of a row, without the image."""
    low, high = value.normal_range or (None, None)
    return [
        spreadsheet_safe(printable(value.name)),
        _number(value.value),
        value.unit,
        _number(value.uncertainty),
        "" if low is None else f"{low:g}",
        "" if high is None else f"{high:g}",
        spreadsheet_safe(printable(value.category or "")),
        spreadsheet_safe(printable(value.note or "")),
    ]


class MeasurementTableWriter:
    """Collects the measurements of a run and writes ``measurements.csv``: a row for each image and measurement.

    Values have 4 decimals; a cell is empty where there is nothing to say.

    Args:
        folder: the folder of the results.
        name: the file's name.
    """

    def __init__(self, folder: Path | str, name: str = "measurements.csv") -> None:
        self.path = Path(folder) / name
        self._rows: list[tuple[str, ...]] = []

    def add(self, image_id: str, values: Sequence[MeasuredValue]) -> None:
        """Put the measurements of an image at the end of the table."""
        self.add_rows(image_id, [measurement_cells(value) for value in values])

    def add_rows(self, image_id: str, rows: Sequence[Sequence[str]]) -> None:
        """Put an image at the end of the table, with rows that :func:`measurement_cells` made."""
        image = spreadsheet_safe(printable(image_id))
        self._rows.extend((image, *row) for row in rows)

    def write(self) -> Path:
        """Write the table, in the order in which the images came.

        Returns:
            The file.

        Raises:
            BundleError: when the file cannot be written.
        """
        return write_csv(self.path, _HEADER, self._rows)


def _number(value: float) -> str:
    return f"{round(value, 4) + 0.0:.4f}" if math.isfinite(value) else ""
