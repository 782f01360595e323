"""What becomes of every file of pydicom and pydicom-data, and of real radiographs, against outcomes.json.

``UPDATE_OUTCOMES=1 python -m pytest tests/io/test_outcomes.py`` writes the file again, where a change is meant to be.
"""

import importlib.util
import json
import os
from pathlib import Path

import pytest

from bundle.errors import ImageError
from bundle.io.radiographs import read_radiograph

OUTCOMES = Path(__file__).with_name("outcomes.json")
REAL = os.environ.get("OSL_REAL_DATA")


def outcome(path: Path) -> str:
    """Size and spacing, or the sentence of refusal without the path."""
    try:
        radiograph = read_radiograph(path)
    except ImageError as error:
        return str(error).replace(str(path), "").strip()
    x, y = radiograph.spacing or (float("nan"), float("nan"))
    return f"{radiograph.width} x {radiograph.height}, {x:.6g} x {y:.6g} mm by {radiograph.spacing_source}"


def folder_of(package: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        pytest.skip(f"{package} is not installed")
    return Path(found.origin).parent / "data"


@pytest.mark.parametrize("name", ["pydicom", "data_store", pytest.param("real", marks=pytest.mark.real_data)])
def test_every_file_is_read_or_refused_as_before(name: str) -> None:
    if name == "real" and not REAL:
        pytest.skip("OSL_REAL_DATA does not name a folder")
    folder = Path(str(REAL)) / "dicom" if name == "real" else folder_of(name)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc"))
    happens = {path.relative_to(folder).as_posix(): outcome(path) for path in files}
    known = json.loads(OUTCOMES.read_text(encoding="utf-8"))
    if os.environ.get("UPDATE_OUTCOMES"):
        OUTCOMES.write_text(json.dumps({**known, name: happens}, indent=4) + "\n", encoding="utf-8")
    assert happens
    assert {file: found for file, found in happens.items() if known[name].get(file) != found} == {}
