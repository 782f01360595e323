"""Files that real devices and other programs wrote: those that pydicom ships, and a folder of the user's.

What becomes of each stands in outcomes.json. ``UPDATE_OUTCOMES=1 python -m pytest tests/io/test_real_images.py`` writes
that again, where a change is meant to be.
"""

import importlib.util
import json
import os
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from bundle.errors import ImageError
from bundle.io.folders import search_folder
from bundle.io.radiographs import read_radiograph

SHIPPED = Path(pydicom.__file__).parent / "data"
REAL = os.environ.get("OSL_REAL_DATA")


def pydicom_data(name: str) -> Path:
    """A file of the package pydicom-data, never from the network."""
    package = importlib.util.find_spec("data_store")
    path = Path(package.origin).parent / "data" / name if package and package.origin else None
    if path is None or not path.is_file():
        pytest.skip("the package pydicom-data is not installed")
    return path


@pytest.mark.parametrize("name", ["UNCR", "UNCI", "J2KR", "J2KI"])
def test_chest_radiograph(name):
    """MONOCHROME1, and a PixelSpacing of zero by zero."""
    radiograph = read_radiograph(pydicom_data(f"RG1_{name}.dcm"))
    assert radiograph.pixels.shape == (1955, 1841)
    assert radiograph.spacing is None
    plain = read_radiograph(pydicom_data("RG1_UNCR.dcm")).pixels
    assert np.abs(radiograph.pixels - plain).mean() < 0.01
    stored = pydicom.dcmread(pydicom_data("RG1_UNCR.dcm")).pixel_array
    assert np.corrcoef(stored.ravel()[::97], plain.ravel()[::97])[0, 1] < -0.9
    # the spine is brighter than the lungs beside it
    assert plain[600:900, 880:960].mean() > plain[600:900, 400:600].mean() + 0.1


@pytest.mark.real_data
@pytest.mark.skipif(not REAL, reason="OSL_REAL_DATA does not name a folder")
class TestRealFolder:
    def test_the_two_encodings_of_one_pelvis_agree(self):
        paths = [Path(REAL) / "dicom" / name for name in ("JPLL_RG2_JPLL.dcm", "J2KI_RG2_J2KI.dcm")]
        if not all(path.is_file() for path in paths):
            pytest.skip("the pelvis is not there")
        lossless, lossy = (read_radiograph(path) for path in paths)
        assert lossless.pixels.shape == (2140, 1760)
        assert lossless.spacing == lossy.spacing == (0.2, 0.2) and lossless.spacing_source == "PixelSpacing"
        assert np.abs(lossless.pixels - lossy.pixels).mean() < 0.01

    def test_rows_are_those_of_pillow_and_reading_is_fast(self):
        folder = Path(REAL) / "isbi2015" / "images"
        if not folder.is_dir():
            pytest.skip("the cephalograms are not there")
        path = search_folder(folder).images[0]
        with Image.open(path) as image:
            grey = np.asarray(image.convert("L"))
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            pixels = read_radiograph(path).pixels
            seconds.append(time.perf_counter() - start)
        assert pixels.shape == grey.shape == (2400, 1935)
        assert np.corrcoef(pixels.ravel()[::101], grey.ravel()[::101])[0, 1] > 0.99
        assert min(seconds) < 1


OUTCOMES = Path(__file__).with_name("outcomes.json")


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
