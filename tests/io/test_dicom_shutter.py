import numpy as np
import pytest
from image_files import picture, write_dicom
from pydicom.dataset import Dataset

from bundle.io.dicom_grey import hidden_pixels
from bundle.io.radiographs import read_radiograph

SHAPE = (40, 60)
RECTANGLE = {
    "ShutterLeftVerticalEdge": 11,
    "ShutterRightVerticalEdge": 50,
    "ShutterUpperHorizontalEdge": 6,
    "ShutterLowerHorizontalEdge": 35,
}
CIRCLE = {"CenterOfCircularShutter": [20, 30], "RadiusOfCircularShutter": 10}
TRIANGLE = {"VerticesOfThePolygonalShutter": [1, 1, 1, 60, 40, 1]}


def hidden(aspect=1.0, **elements):
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return hidden_pixels(dataset, SHAPE, aspect)


def test_a_rectangle_counts_from_one_with_its_edges_inside():
    mask = hidden(ShutterShape="RECTANGULAR", **RECTANGLE)
    wanted = np.ones(SHAPE, dtype=bool)
    wanted[5:35, 10:50] = False
    np.testing.assert_array_equal(mask, wanted)


def test_a_circle():
    mask = hidden(ShutterShape="CIRCULAR", **CIRCLE)
    assert not mask[19, 29] and not mask[19, 39] and mask[19, 40] and not mask[29, 29] and mask[30, 29]
    assert (~mask).sum() == pytest.approx(np.pi * 100, rel=0.03)


def test_a_circle_on_pixels_that_are_not_square():
    mask = hidden(ShutterShape="CIRCULAR", **CIRCLE, aspect=2.0)
    assert not mask[19, 39] and not mask[24, 29] and mask[25, 29]


def test_a_polygon():
    mask = hidden(ShutterShape="POLYGONAL", **TRIANGLE)
    assert not mask[0, 0] and not mask[0, 59] and not mask[39, 0] and mask[39, 59] and mask[30, 40]
    assert (~mask).mean() == pytest.approx(0.5, abs=0.03)


def test_several_shapes_hide_what_any_of_them_hides():
    both = hidden(ShutterShape=["RECTANGULAR", "CIRCULAR"], **RECTANGLE, **CIRCLE)
    one, other = hidden(ShutterShape="RECTANGULAR", **RECTANGLE), hidden(ShutterShape="CIRCULAR", **CIRCLE)
    np.testing.assert_array_equal(both, one | other)


@pytest.mark.parametrize(
    "elements",
    [
        {},
        RECTANGLE,
        {"ShutterShape": None},
        {"ShutterShape": "BITMAP"},
        {"ShutterShape": "RECTANGULAR"},
        {"ShutterShape": "RECTANGULAR", **RECTANGLE, "ShutterLeftVerticalEdge": None},
        {"ShutterShape": "RECTANGULAR", **RECTANGLE, "ShutterLeftVerticalEdge": 51},
        {
            "ShutterShape": "RECTANGULAR",
            "ShutterLeftVerticalEdge": 1,
            "ShutterRightVerticalEdge": 60,
            "ShutterUpperHorizontalEdge": 1,
            "ShutterLowerHorizontalEdge": 40,
        },
        {"ShutterShape": "CIRCULAR", **CIRCLE, "RadiusOfCircularShutter": 0},
        {"ShutterShape": "CIRCULAR", "RadiusOfCircularShutter": 5},
        {"ShutterShape": "POLYGONAL", "VerticesOfThePolygonalShutter": [1, 1, 1, 60]},
        {"ShutterShape": "POLYGONAL", "VerticesOfThePolygonalShutter": [1, 1, 1, 60, 40]},
        {"ShutterShape": "POLYGONAL", "VerticesOfThePolygonalShutter": [1, 1, 1, 2000000, 40, 1]},
    ],
)
def test_nothing_is_hidden(elements):
    assert hidden(**elements) is None


def test_the_collimator_is_not_a_shutter():
    """Devices write it in other units, such as -184 to 184 of 1841 columns."""
    elements = {keyword.replace("Shutter", "Collimator"): value for keyword, value in RECTANGLE.items()}
    assert hidden(CollimatorShape="RECTANGULAR", **elements) is None


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_what_is_hidden_is_dark_and_leaves_the_scaling_alone(tmp_path, photometric):
    stored = picture(*SHAPE)
    covered = np.full_like(stored, 60000)
    covered[5:35, 10:50] = stored[5:35, 10:50]
    path = write_dicom(
        tmp_path / "a.dcm", covered, 16, ShutterShape="RECTANGULAR", PhotometricInterpretation=photometric, **RECTANGLE
    )
    pixels = read_radiograph(path).pixels
    inside = stored[5:35, 10:50].astype(np.float64)
    low, high = np.percentile(inside, (0.5, 99.5))
    wanted = np.clip((inside - low) / (high - low), 0, 1)
    np.testing.assert_allclose(pixels[5:35, 10:50], 1 - wanted if photometric == "MONOCHROME1" else wanted, atol=1e-6)
    assert pixels.sum() == pytest.approx(pixels[5:35, 10:50].sum())
