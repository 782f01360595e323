"""One radiograph in many files: the landmarks are the same whatever the format, the syntax and the kind of grey."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian, RLELossless

from bundle.io.radiographs import read_radiograph
from tests.conftest import Sample
from tests.io.image_files import dicom_dataset, quiet_pydicom, save_dicom
from tests.workflows.running import TINY_NETWORK, run

REAL = Path(os.environ.get("OSL_REAL_DATA", "")) / "isbi2015"


def write(path: Path, stored: np.ndarray, bits: int, syntax: UID = ExplicitVRLittleEndian, **elements: Any) -> Path:
    """A computed radiograph in an uncompressed or run-length encoded transfer syntax."""
    dataset = dicom_dataset(stored, bits, **elements)
    if syntax == RLELossless:
        dataset.compress(RLELossless)
    else:
        dataset.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        with quiet_pydicom():
            dataset.is_little_endian = False
        dataset.PixelData = stored.astype(stored.dtype.newbyteorder(">")).tobytes()
    return save_dicom(path, dataset)


def encode_with_gdcm(source: Path, folder: Path) -> None:
    encodings = [f"{folder / name}.dcm={syntax}" for name, syntax in GDCM_SYNTAXES.items()]
    program = [sys.executable, str(Path(__file__).with_name("gdcm_encoder.py")), str(source)]
    subprocess.run([*program, *encodings], check=True, capture_output=True, timeout=600)


GDCM_SYNTAXES = {
    "jpeg_lossless": "JPEGLosslessProcess14_1",
    "jpeg_lossless_14": "JPEGLosslessProcess14",
    "jpeg_extended": "JPEGExtendedProcess2_4",
    "jpeg_ls": "JPEGLSLossless",
    "jpeg_2000": "JPEG2000Lossless",
}


def write_all(folder: Path, grey: np.ndarray) -> list[str]:
    """An image of 12 bits, uint16, in every way; the first is the plain one."""
    folder.mkdir()
    plain = write(folder / "plain.dcm", grey, 12)
    write(folder / "big_endian.dcm", grey, 12, ExplicitVRBigEndian)
    write(folder / "rle.dcm", grey, 12, RLELossless)
    write(folder / "16_bits.dcm", grey << np.uint16(4), 16)
    write(folder / "12_of_16_bits.dcm", grey | np.uint16(0xF000), 12)  # what is above BitsStored is no grey value
    write(folder / "monochrome1.dcm", np.uint16(4095) - grey, 12, PhotometricInterpretation="MONOCHROME1")
    write(folder / "signed.dcm", grey.astype(np.int16) - np.int16(2000), 16, RescaleSlope=1, RescaleIntercept=2000)
    write(folder / "windowed.dcm", grey, 12, WindowCenter=300, WindowWidth=50)
    write(folder / "deflated.dcm", grey, 12, DeflatedExplicitVRLittleEndian)
    encode_with_gdcm(plain, folder)
    Image.fromarray(grey << np.uint16(4)).save(folder / "png.png")
    Image.fromarray((grey >> np.uint16(4)).astype(np.uint8)).save(folder / "png_8_bits.png")
    nib.save(nib.Nifti1Image(np.ascontiguousarray(grey.T), np.diag([-0.1, -0.1, 1, 1])), folder / "nifti.nii.gz")
    return ["plain", *sorted({path.name.split(".")[0] for path in folder.iterdir()} - {"plain"})]


def compare(folder: Path, results: Path, names: list[str]) -> None:
    points = {name: found_points(results / f"{name}.json") for name in names}
    assert len(points) == len(list(folder.iterdir())) >= 17
    apart = {name: np.linalg.norm(found - points["plain"], axis=1) for name, found in points.items()}
    print({name: round(float(distance.max()), 3) for name, distance in apart.items()})
    # Four of the twelve bits are gone in this one: other values, not another way to write the same.
    assert np.median(apart.pop("png_8_bits")) < 0.5
    assert max(distance.max() for distance in apart.values()) < 0.5, apart


def found_points(path: Path) -> np.ndarray:
    landmarks = json.loads(path.read_text(encoding="utf-8"))["landmarks"]
    return np.array([[landmark["x"], landmark["y"]] for landmark in landmarks])


def as_12_bits(pixels: np.ndarray) -> np.ndarray:
    return np.round(pixels * 3000 + 500).astype(np.uint16)


def test_a_phantom(small: Sample, tmp_path: Path) -> None:
    grey = as_12_bits(read_radiograph(sorted(small.images.iterdir())[0]).pixels)
    names = write_all(tmp_path / "images", grey)
    run(
        "inference",
        **small.template,
        dataset_dir=tmp_path / "images",
        output_dir=tmp_path / "out",
        network=TINY_NETWORK,
        writers=["json"],
    )
    compare(tmp_path / "images", tmp_path / "out", names)


@pytest.mark.real_data
@pytest.mark.skipif(not REAL.is_dir(), reason="OSL_REAL_DATA does not name the cephalograms")
@pytest.mark.timeout(1800)
def test_a_cephalogram(tmp_path: Path) -> None:
    names = write_all(tmp_path / "images", as_12_bits(read_radiograph(REAL / "images" / "001.jpg").pixels))
    template = {
        "template_image": REAL / "images" / "125.jpg",
        "template_landmarks": REAL / "landmarks_mean.csv",
    }
    run("inference", **template, dataset_dir=tmp_path / "images", output_dir=tmp_path / "out", writers=["json"])
    compare(tmp_path / "images", tmp_path / "out", names)
