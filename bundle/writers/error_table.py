"""The images of a run that failed, with the reason, as one CSV table."""

from __future__ import annotations

from pathlib import Path

from bundle.records.errors import one_line
from bundle.writers.csv_table import write_csv
from bundle.writers.naming import spreadsheet_safe


class ErrorTableWriter:
    """Collects the failures of a run and writes ``errors.csv``: ``file,reason``, a row for each failure.

    No cell can be taken for a formula by a spreadsheet, and each row is one line.

    Args:
        folder: the folder of the results.
        name: the file's name.
    """

    def __init__(self, folder: Path | str, name: str = "errors.csv") -> None:
        self.path = Path(folder) / name
        self._rows: list[tuple[str, str]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, file: Path | str, reason: BaseException | str) -> None:
        """Put a failure at the end of the table.

        Args:
            file: the image file, as it shall stand in the table.
            reason: the error, or its message.
        """
        text = str(reason)
        if not text.strip() and isinstance(reason, BaseException):
            text = type(reason).__name__
        self._rows.append((_cell(str(file)), _cell(text)))

    def write(self) -> Path:
        """Write the table; the header alone where nothing failed, so that no older table is taken for this run's.

        Returns:
            The file.

        Raises:
            BundleError: when the file cannot be written.
        """
        return write_csv(self.path, ["file", "reason"], self._rows)


def _cell(text: str) -> str:
    """Text on one line that UTF-8 can hold and no spreadsheet takes for a formula."""
    return spreadsheet_safe(one_line(text))
