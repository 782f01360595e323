"""What a run did not write, with the reason, as one CSV table."""

from __future__ import annotations

from pathlib import Path

from bundle.writers.csv_table import write_csv
from bundle.writers.naming import printable, spreadsheet_safe


class NoteTableWriter:
    """Collects the files that are not written for a reason that is no failure, and writes ``notes.csv``.

    Its columns are ``image,writer,note``.

    Args:
        folder: the folder of the results.
        name: the file's name.
    """

    def __init__(self, folder: Path | str, name: str = "notes.csv") -> None:
        self.path = Path(folder) / name
        self._rows: list[tuple[str, str, str]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, image_id: str, writer: str, note: str) -> None:
        """Put a note at the end of the table."""
        text = " ".join(printable(note).split())
        self._rows.append((spreadsheet_safe(printable(image_id)), writer, spreadsheet_safe(text)))

    def write(self) -> Path:
        """Write the table; the header alone where there is no note, so that no older table lingers.

        Returns:
            The file.

        Raises:
            BundleError: when the file cannot be written.
        """
        return write_csv(self.path, ["image", "writer", "note"], self._rows)
