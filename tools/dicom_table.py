"""Write what becomes of every file of pydicom, pydicom-data and a folder of the user's into docs/dicom.md.

The table stands between two marks in that file; everything else in it is left alone. A source that is not at hand keeps
its rows. Nothing but names and outcomes is written.

Example:
    python -m tools.dicom_table
    python -m tools.dicom_table --folder /data/dicom
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from bundle.errors import ConfigError, ImageError
from bundle.io.radiographs import read_radiograph
from bundle.records.console import CommandParser, command

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "dicom.md"
BEGIN, END = "<!-- outcomes: begin -->", "<!-- outcomes: end -->"
FOLDER_NAME = "radiographs of the pelvis"  # the folder given with --folder

Tables = dict[str, dict[str, str]]


def find_sources(folder: Path | None = None) -> dict[str, Path]:
    """The folders of the table that are at hand, by the name of their section."""
    sources: dict[str, Path] = {}
    for name, package, below in (("pydicom", "pydicom", "data"), ("pydicom-data", "data_store", "data")):
        found = importlib.util.find_spec(package)
        if found and found.origin and (Path(found.origin).parent / below).is_dir():
            sources[name] = Path(found.origin).parent / below
    if folder is not None:
        sources[FOLDER_NAME] = folder
    return sources


def outcomes(folder: Path) -> dict[str, str]:
    """What becomes of each file of a folder, by its path below the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc"))
    return {path.relative_to(folder).as_posix(): outcome(path) for path in files}


def outcome(path: Path) -> str:
    """``read`` with size and spacing, or ``refused`` with the sentence, without the path."""
    try:
        radiograph = read_radiograph(path)
    except ImageError as error:
        return f"refused: {str(error).replace(str(path), '').strip()}"
    spacing = "spacing unknown"
    if radiograph.spacing:
        x, y = radiograph.spacing
        spacing = f"{x:.6g} x {y:.6g} mm by {radiograph.spacing_source}"
    return f"read, {radiograph.width} x {radiograph.height}, {spacing}"


def read_tables(text: str) -> Tables:
    """The tables that a document has between the marks."""
    tables: Tables = {}
    rows: dict[str, str] = {}
    for line in _between(text)[1].splitlines():
        if line.startswith("### "):
            rows = tables.setdefault(line[4:], {})
        elif line.startswith("| `"):
            name, found = line.strip("| ").split("` | ", 1)
            rows[name.lstrip("`")] = found
    return tables


def with_tables(text: str, tables: Tables) -> str:
    """The document with other tables between the marks."""
    before, _, after = _between(text)
    parts = []
    for name, rows in tables.items():
        lines = [f"| `{file}` | {found} |" for file, found in rows.items()]
        parts.append("\n".join([f"### {name}", "", "| File | Outcome |", "| --- | --- |", *lines]))
    return f"{before}{BEGIN}\n\n" + "\n\n".join(parts) + f"\n\n{END}{after}"


def _between(text: str) -> tuple[str, str, str]:
    before, begin, rest = text.partition(BEGIN)
    inside, end, after = rest.partition(END)
    if not begin or not end:
        raise ConfigError(f"{DOCUMENT} lacks the marks {BEGIN} and {END}: put them back.")
    return before, inside, after


@command
def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = CommandParser(__doc__)
    parser.add_argument("--folder", type=Path, help=f"a folder of DICOM files, the section '{FOLDER_NAME}'")
    options = parser.parse_args(arguments)
    if options.folder is not None and not options.folder.is_dir():
        raise ConfigError(f"--folder is {options.folder}, which is not a folder: correct it.")
    text = DOCUMENT.read_text(encoding="utf-8")
    tables = read_tables(text)
    for name, folder in find_sources(options.folder).items():
        tables[name] = outcomes(folder)
        read = sum(found.startswith("read") for found in tables[name].values())
        print(f"{name}: {read} of {len(tables[name])} files read")
    DOCUMENT.write_text(with_tables(text, tables), encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
