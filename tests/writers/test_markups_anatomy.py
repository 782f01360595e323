"""Points in 3D Slicer's files fall on the anatomy where ITK, which 3D Slicer reads images with, puts it."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from bundle.io.radiographs import read_radiograph
from bundle.records.prediction import annotated
from bundle.writers.slicer_markups import markups_json
from tests.io.image_files import write_dicom

itk = pytest.importorskip("itk")

#: Bright pixels, (x, y), on a dark image of 60 x 40 pixels: the anatomy.
ANATOMY = [(7, 5), (52, 9), (30, 33)]
PIXELS = np.zeros((40, 60), np.uint8)
for number, (x, y) in enumerate(ANATOMY):
    PIXELS[y, x] = 200 + number


def nifti(path: Path, affine: np.ndarray) -> Path:
    nibabel.save(nibabel.Nifti1Image(PIXELS.T[..., None], affine), path)
    return path


def raster(path: Path, **options: object) -> Path:
    Image.fromarray(PIXELS).save(path, **options)
    return path


def itk_pixel_to_lps(path: Path) -> np.ndarray:
    """Where ITK puts the pixel (x, y, 1), (3, 3); from its readers of headers, which are quicker than its images."""
    reader = itk.ImageIOFactory.CreateImageIO(str(path), itk.CommonEnums.IOFileMode_ReadMode)
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    matrix = np.zeros((3, 3))
    axes = reader.GetNumberOfDimensions()
    for axis in (0, 1):
        matrix[:axes, axis] = np.array(reader.GetDirection(axis))[:axes] * reader.GetSpacing(axis)
    matrix[:axes, 2] = [reader.GetOrigin(axis) for axis in range(axes)]
    return matrix


OBLIQUE = np.array([[0.3, 0.04, 0, -20], [-0.03, 0.4, 0, 55], [0, 0, 1, 7], [0, 0, 0, 1.0]])
CASES = {
    "PNG": lambda folder: raster(folder / "i.png"),
    "PNG with resolution": lambda folder: raster(folder / "i.png", dpi=(300, 150)),
    "JPEG with resolution": lambda folder: raster(folder / "i.jpg", dpi=(300, 300), quality=100),
    "BMP": lambda folder: raster(folder / "i.bmp"),
    "TIFF": lambda folder: raster(folder / "i.tif"),
    "NIfTI": lambda folder: nifti(folder / "i.nii", np.diag([-0.2, -0.5, 1, 1])),
    "NIfTI flipped": lambda folder: nifti(folder / "i.nii.gz", np.diag([0.2, 0.5, 1, 1])),
    "NIfTI turned": lambda folder: nifti(folder / "i.nii", OBLIQUE),
    "DICOM without spacing": lambda folder: write_dicom(folder / "i.dcm", PIXELS, 8),
    "DICOM detector spacing": lambda folder: write_dicom(folder / "i.dcm", PIXELS, 8, ImagerPixelSpacing=[0.5, 0.2]),
    "DICOM pixel spacing": lambda folder: write_dicom(folder / "i.dcm", PIXELS, 8, PixelSpacing=[0.5, 0.2]),
    "DICOM with a position": lambda folder: write_dicom(
        folder / "i.dcm",
        PIXELS,
        8,
        sop_class="1.2.840.10008.5.1.4.1.1.7",
        PixelSpacing=[0.5, 0.2],
        ImageOrientationPatient=[0, 1, 0, 0, 0, -1],
        ImagePositionPatient=[10, -20, 30],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_points_fall_on_the_anatomy(tmp_path: Path, case: str) -> None:
    path = CASES[case](tmp_path)
    source = read_radiograph(path)
    found = annotated(("a", "b", "c"), np.array(ANATOMY, dtype=np.float64), source, "i")
    markups = json.loads(markups_json(found))["markups"][0]
    assert markups["coordinateSystem"] == "LPS"
    to_lps = itk_pixel_to_lps(path)
    for control, (x, y) in zip(markups["controlPoints"], ANATOMY):
        np.testing.assert_allclose(control["position"], to_lps @ [x, y, 1], atol=1e-3)
        assert source.pixels[y, x] > 0.7, "the bright pixel"
