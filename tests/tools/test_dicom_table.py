"""The table of outcomes in docs/dicom.md against what happens, and the script that writes it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bundle.errors import ConfigError
from tests.workflows.running import ROOT
from tools import dicom_table

REAL = os.environ.get("OSL_REAL_DATA")
TABLES = dicom_table.read_tables(dicom_table.DOCUMENT.read_text(encoding="utf-8"))


def compare(name: str, folder: Path | None) -> None:
    if folder is None or not folder.is_dir():
        pytest.skip(f"{name} is not at hand")
    happens = dicom_table.outcomes(folder)
    assert happens, folder
    changed = {
        file: (TABLES[name].get(file), found) for file, found in happens.items() if TABLES[name].get(file) != found
    }
    assert changed == {}, "run tools/dicom_table.py if this is meant to be"


@pytest.mark.parametrize("name", ["pydicom", "pydicom-data"])
def test_every_file_comes_out_as_the_table_says(name: str) -> None:
    compare(name, dicom_table.find_sources().get(name))


@pytest.mark.real_data
@pytest.mark.skipif(not REAL, reason="OSL_REAL_DATA does not name a folder")
def test_the_pelvis_comes_out_as_the_table_says() -> None:
    compare(dicom_table.FOLDER_NAME, Path(str(REAL)) / "dicom")


def test_the_table_says_of_each_file_that_it_is_read_or_why_not() -> None:
    assert sum(map(len, TABLES.values())) > 250
    for rows in TABLES.values():
        for file, outcome in rows.items():
            assert outcome.startswith("read, ") or (outcome.startswith("refused: ") and outcome.endswith(".")), file


def test_tables_are_written_and_read_back() -> None:
    text = f"before\n{dicom_table.BEGIN}\nold\n{dicom_table.END}\nafter\n"
    tables = {
        "one": {"a b.dcm": "read, 1 x 2, spacing unknown", "c/d": "refused: it is | not."},
        "two": {"e": "read, x"},
    }
    written = dicom_table.with_tables(text, tables)
    assert dicom_table.read_tables(written) == tables
    assert written.startswith("before\n") and written.endswith("\nafter\n") and "old" not in written
    with pytest.raises(ConfigError, match="lacks the marks"):
        dicom_table.read_tables("nothing")


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "tools.dicom_table", "--folder", str(tmp_path / "absent")]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2 and "is not a folder: correct it." in done.stderr and "Traceback" not in done.stderr
