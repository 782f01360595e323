import gzip
from typing import NamedTuple

import nibabel as nib
import numpy as np
import pytest
from image_files import expected, picture, write_metaimage, write_nifti, write_nrrd

from bundle.errors import ImageError
from bundle.io.radiographs import read_radiograph

VALUES = picture()
ALONG = np.array([[-0.2, 0, 0, 5], [0, -0.3, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1.0]])
TURNED = np.array([[0, 0.3, 0, 1], [0.2, 0, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1.0]])


def itk_geometry(path, axes=(0, 1)):
    itk = pytest.importorskip("itk")
    image = itk.imread(str(path))
    size = image.GetImageDimension()
    direction = itk.array_from_matrix(image.GetDirection())
    matrix = np.zeros((3, 3))
    for column, axis in enumerate(axes):
        matrix[:size, column] = direction[:, axis] * image.GetSpacing()[axis]
    matrix[:size, 2] = image.GetOrigin()
    return matrix


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize(
    ("shape", "axes"),
    [((56, 40), (0, 1)), ((56, 40, 1), (0, 1)), ((56, 1, 40), (0, 2)), ((1, 56, 40), (1, 2)), ((56, 40, 1, 1), (0, 1))],
)
def test_nifti_axes(tmp_path, name, shape, axes):
    path = write_nifti(tmp_path / name, VALUES.T.reshape(shape), np.diag([-0.2, -0.3, 0.4, 1]))
    radiograph = read_radiograph(path)
    np.testing.assert_allclose(radiograph.pixels, expected(VALUES), atol=1e-6)
    zooms = (0.2, 0.3, 0.4)
    assert radiograph.spacing == pytest.approx((zooms[axes[0]], zooms[axes[1]]))
    assert radiograph.spacing_source == "NIfTI pixdim"
    np.testing.assert_allclose(radiograph.pixel_to_lps, itk_geometry(path, axes), atol=1e-6)


def test_nifti_scaling_and_types(tmp_path):
    for dtype in (np.uint8, np.int16, np.int32, np.float32, np.float64):
        values = picture(top=200, dtype=dtype)
        path = write_nifti(tmp_path / "a.nii", values.T, ALONG)
        np.testing.assert_allclose(read_radiograph(path).pixels, expected(values), atol=1e-6)
    image = nib.Nifti1Image(picture(dtype=np.int16).T, ALONG)
    image.header.set_slope_inter(-2, 5)
    nib.save(image, tmp_path / "b.nii")
    stored = np.asarray(nib.load(tmp_path / "b.nii").dataobj).T
    np.testing.assert_allclose(read_radiograph(tmp_path / "b.nii").pixels, expected(stored), atol=1e-6)


def test_nifti_2_is_read(tmp_path):
    nib.save(nib.Nifti2Image(VALUES.T, ALONG), tmp_path / "a.nii")
    np.testing.assert_allclose(read_radiograph(tmp_path / "a.nii").pixels, expected(VALUES), atol=1e-6)


@pytest.mark.parametrize("zooms", [(1, 1), (0, 0.3), (0.2, 0), (np.nan, 0.3), (np.inf, 0.3)])
def test_nifti_unknown_spacing(tmp_path, zooms, capfd):
    path = write_nifti(tmp_path / "a.nii", VALUES.T)
    content = bytearray(path.read_bytes())
    content[80:88] = np.array(zooms, "<f4").tobytes()  # pixdim[1] and pixdim[2]
    path.write_bytes(content)
    radiograph = read_radiograph(path)
    assert radiograph.spacing is None and radiograph.spacing_source is None
    assert np.isfinite(radiograph.pixel_to_lps).all()
    assert np.linalg.matrix_rank(radiograph.pixel_to_lps[:2, :2]) == 2
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((56, 40, 2), np.uint8), "is a volume or a series of 56 x 40 x 2 pixels"),
        (np.zeros((56, 40, 1, 3), np.uint8), "is a volume or a series"),
        (np.zeros((56, 20), np.uint8), "is 56 x 20 pixels"),
        (np.zeros((56,), np.uint8), "is 56 x 1 pixels"),
        (np.zeros((56, 40), np.complex64), "does not hold grey values"),
        (np.zeros((56, 40), [("R", "u1"), ("G", "u1"), ("B", "u1")]), "does not hold grey values"),
        (np.zeros((56, 40), np.uint8), "all its pixels have the value 0"),
    ],
)
def test_nifti_refusals(tmp_path, data, message):
    path = write_nifti(tmp_path / "a.nii.gz", data)
    with pytest.raises(ImageError, match=message):
        read_radiograph(path)


def test_nifti_size_is_judged_by_the_header(tmp_path):
    path = write_nifti(tmp_path / "a.nii", VALUES.T)
    content = bytearray(path.read_bytes())
    content[42:46] = np.array([32000, 32000], "<i2").tobytes()  # dim[1] and dim[2]
    path.write_bytes(content)
    with pytest.raises(ImageError, match="32000 x 32000 = 1024000000 pixels, more than max_pixels"):
        read_radiograph(path)


def volume_file(tmp_path, kind):
    if kind == "nii":
        return write_nifti(tmp_path / "a.nii", VALUES.T, ALONG)
    if kind == "nii.gz":
        return write_nifti(tmp_path / "a.nii.gz", VALUES.T, ALONG)
    return (write_metaimage if kind == "mha" else write_nrrd)(tmp_path / f"a.{kind}", VALUES)


@pytest.mark.parametrize("kind", ["nii", "nii.gz", "mha", "nrrd"])
def test_truncated(tmp_path, kind, capfd):
    content = volume_file(tmp_path, kind).read_bytes()
    whole = read_radiograph(tmp_path / f"a.{kind}").pixels
    path = tmp_path / f"b.{kind}"
    for length in sorted({*range(0, len(content) - 9, max(1, len(content) // 25)), len(content) - 9}):
        path.write_bytes(content[:length])
        try:
            pixels = read_radiograph(path).pixels
        except ImageError as error:
            assert str(path) in str(error) and "\n" not in str(error)
        else:  # only the checksum at the end of the gzip file is missing
            assert kind == "nii.gz" and length > len(content) - 24
            np.testing.assert_array_equal(pixels, whole)
    if kind != "mha":  # MetaIO writes to the standard error by itself
        assert capfd.readouterr() == ("", "")


def test_gzip_of_something_else(tmp_path):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(b"hello" * 200))
    with pytest.raises(ImageError, match="is a NIfTI file that is damaged"):
        read_radiograph(path)


class Header(NamedTuple):
    """A way to state the geometry of an image: what is read of it, and why where ITK's step is not the spacing."""

    text: str
    spacing: tuple[float, float] | None
    because: str = ""
    aspect: float = 1.5


FILLER = "1 x 1 is what writers fill in where nothing is known"
UNIT = "ITK passes over the unit"
META_HEADERS = {
    "nothing": Header("", None, FILLER, 1.0),
    "ones": Header("ElementSpacing = 1 1\n", None, FILLER, 1.0),
    "spacing": Header("ElementSpacing = 0.2 0.3\n", (0.2, 0.3)),
    "size": Header("ElementSize = 0.2 0.3\n", (0.2, 0.3)),
    "placed": Header("Offset = 4 5\nElementSpacing = 0.2 0.3\nTransformMatrix = 0 1 -1 0\n", (0.2, 0.3)),
    "mirrored": Header("ElementSpacing = 0.2 0.3\nTransformMatrix = -1 0 0 1\n", (0.2, 0.3)),
    "mm": Header("ElementSpacing = 0.2 0.3\nDistanceUnits = mm\n", (0.2, 0.3)),
    "um": Header("ElementSpacing = 200 300\nDistanceUnits = um\n", (0.2, 0.3), UNIT),
    "cm": Header("DistanceUnits = cm\nElementSpacing = 0.02 0.03\n", (0.2, 0.3), UNIT),
    "unknown unit": Header("ElementSpacing = 0.2 0.3\nDistanceUnits = ?\n", (0.2, 0.3)),
    "no length": Header("ElementSpacing = 2 3\nDistanceUnits = pixel\n", None, UNIT),
    "ones of a unit": Header("ElementSpacing = 1 1\nDistanceUnits = cm\n", None, FILLER, 1.0),
    "1 mm in um": Header("ElementSpacing = 1000 1000\nDistanceUnits = um\n", (1.0, 1.0), UNIT, 1.0),
}
IN_SPACE = "space dimension: 2\nspace directions: (0,{x}) (-{y},0)\nspace origin: (4,5)\n"
NRRD_HEADERS = {
    "nothing": Header("", None, FILLER, 1.0),
    "ones": Header("space dimension: 2\nspace directions: (1,0) (0,1)\n", None, FILLER, 1.0),
    "spacings": Header("spacings: 0.2 0.3\n", (0.2, 0.3)),
    "placed": Header(IN_SPACE.format(x=0.2, y=0.3), (0.2, 0.3)),
    "mm": Header('spacings: 0.2 0.3\nunits: "mm" "mm"\n', (0.2, 0.3)),
    "millimetres": Header('spacings: 0.2 0.3\nunits: "Millimetres" "millimeter"\n', (0.2, 0.3)),
    "um": Header('spacings: 200 300\nunits: "um" "um"\n', (0.2, 0.3), UNIT),
    "microns": Header('units: "microns" "microns"\nspacings: 200 300\n', (0.2, 0.3), UNIT),
    "\u00b5m": Header('spacings: 200 300\nunits: "\u00b5m" "\u00b5m"\n', (0.2, 0.3), UNIT),
    "cm": Header('spacings: 0.02 0.03\nunits: "cm" "cm"\n', (0.2, 0.3), UNIT),
    "m": Header('spacings: 0.0002 0.0003\nunits: "m" "m"\n', (0.2, 0.3), UNIT),
    "inch": Header('spacings: 0.02 0.03\nunits: "inch" "inch"\n', (0.508, 0.762), UNIT),
    "space in um": Header(IN_SPACE.format(x=200, y=300) + 'space units: "um" "um"\n', (0.2, 0.3), UNIT),
    "space in mm": Header(IN_SPACE.format(x=0.2, y=0.3) + 'space units: "mm" "mm"\n', (0.2, 0.3)),
    "no unit": Header('spacings: 0.2 0.3\nunits: "" ""\n', (0.2, 0.3)),
    "no length": Header('spacings: 2 3\nunits: "pixel" "pixel"\n', None, UNIT),
    "two units": Header('spacings: 0.2 300\nunits: "mm" "um"\n', None, UNIT, 1500.0),
    "a key of the user's": Header("units:=um\nspacings: 0.2 0.3\n", (0.2, 0.3)),
    "ones of a unit": Header('spacings: 1 1\nunits: "m" "m"\n', None, FILLER, 1.0),
    "1 mm in um": Header('spacings: 1000 1000\nunits: "um" "um"\n', (1.0, 1.0), UNIT, 1.0),
}


@pytest.mark.parametrize(
    ("kind", "name"), [("MetaImage", name) for name in META_HEADERS] + [("NRRD", name) for name in NRRD_HEADERS]
)
def test_metaimage_and_nrrd_against_itk(tmp_path, kind, name):
    write, suffix, headers = {
        "MetaImage": (write_metaimage, "mha", META_HEADERS),
        "NRRD": (write_nrrd, "nrrd", NRRD_HEADERS),
    }[kind]
    row = headers[name]
    path = write(tmp_path / f"a.{suffix}", VALUES, row.text)
    radiograph = read_radiograph(path)
    np.testing.assert_allclose(radiograph.pixels, expected(VALUES), atol=1e-6)
    theirs = itk_geometry(path)
    np.testing.assert_allclose(radiograph.pixel_to_lps, theirs, atol=1e-9)
    assert radiograph.spacing == (pytest.approx(row.spacing) if row.spacing else None)
    assert radiograph.spacing_source == (f"{kind} spacing" if row.spacing else None)
    assert radiograph.pixel_size[1] / radiograph.pixel_size[0] == pytest.approx(row.aspect)
    step = tuple(np.linalg.norm(theirs[:, :2], axis=0))
    assert (radiograph.spacing == pytest.approx(step)) != bool(row.because)


def test_pixels_that_look_like_a_unit_are_none(tmp_path):
    values = VALUES.copy()
    text = b'\nunits: "um" "um"\nDistanceUnits = um\n'
    values.reshape(-1)[: len(text) // 2] = np.frombuffer(text[: len(text) // 2 * 2], "<u2")
    assert read_radiograph(write_nrrd(tmp_path / "a.nrrd", values, "spacings: 2 3\n")).spacing == (2.0, 3.0)
    assert read_radiograph(write_metaimage(tmp_path / "a.mha", values, "ElementSpacing = 2 3\n")).spacing == (2.0, 3.0)


class Affine(NamedTuple):
    """The two ways of NIfTI to place an image."""

    sform: np.ndarray
    qform: np.ndarray


AFFINES = {"along": Affine(ALONG, ALONG), "turned": Affine(TURNED, TURNED), "two": Affine(ALONG, TURNED)}
MM_OF_UNIT = {"mm": 1.0, "micron": 0.001, "meter": 1000.0, "unknown": 1.0}


@pytest.mark.parametrize("codes", [(1, 1), (1, 0), (0, 1), (2, 1), (1, 2), (2, 2), (0, 0)])
@pytest.mark.parametrize("affine", AFFINES)
@pytest.mark.parametrize("unit", MM_OF_UNIT)
def test_nifti_against_itk(tmp_path, codes, affine, unit):
    image = nib.Nifti1Image(VALUES.T[..., None], None)
    image.header.set_zooms((0.2, 0.3, 1))
    image.header.set_sform(AFFINES[affine].sform, codes[0])
    image.header.set_qform(AFFINES[affine].qform, codes[1])
    image.header.set_xyzt_units(unit)
    path = tmp_path / "a.nii"
    nib.save(image, path)
    wanted = itk_geometry(path)
    radiograph = read_radiograph(path)
    np.testing.assert_allclose(radiograph.pixels, expected(VALUES), atol=1e-6)
    np.testing.assert_allclose(radiograph.pixel_to_lps, wanted, rtol=1e-5, atol=1e-6)
    assert radiograph.spacing == pytest.approx(tuple(np.linalg.norm(wanted[:, :2], axis=0)), rel=1e-5)
    assert radiograph.spacing == pytest.approx((0.2 * MM_OF_UNIT[unit], 0.3 * MM_OF_UNIT[unit]), rel=1e-5)


@pytest.mark.parametrize(
    ("zooms", "unit", "spacing"),
    [
        ((1, 1), "mm", None),
        ((1, 1), "micron", None),  # a filler in any unit
        ((1, 1), "meter", None),
        ((1000, 1000), "micron", (1.0, 1.0)),  # a millimetre that somebody meant
        ((0.001, 0.001), "meter", (1.0, 1.0)),
        ((1, 2), "mm", (1.0, 2.0)),
    ],
)
def test_nifti_fillers(tmp_path, zooms, unit, spacing):
    path = write_nifti(tmp_path / "a.nii", VALUES.T, zooms=zooms, units=unit)
    assert read_radiograph(path).spacing == (pytest.approx(spacing) if spacing else None)


@pytest.mark.parametrize("space", ["left-posterior-superior", "right-anterior-superior"])
@pytest.mark.parametrize("units", ["", 'space units: "um" "um" "um"\n'])
def test_nrrd_of_one_slice_in_patient_space(tmp_path, space, units):
    header = f"space: {space}\nspace directions: (0,0.2,0) (0,0,-0.3) (-2,0,0)\nspace origin: (10,20,30)\n{units}"
    path = write_nrrd(tmp_path / "a.nrrd", VALUES[None], header)
    radiograph = read_radiograph(path)
    sign = -1 if space.startswith("right") else 1
    np.testing.assert_allclose(
        radiograph.pixel_to_lps, [[0, 0, sign * 10], [sign * 0.2, 0, sign * 20], [0, -0.3, 30]], atol=1e-9
    )
    np.testing.assert_allclose(radiograph.pixel_to_lps, itk_geometry(path), atol=1e-9)
    mm = 0.001 if units else 1.0
    assert radiograph.spacing == pytest.approx((0.2 * mm, 0.3 * mm))


@pytest.mark.parametrize(("write", "kind"), [(write_metaimage, "mha"), (write_nrrd, "nrrd")])
@pytest.mark.parametrize("shape", [(1, 40, 56), (40, 1, 56), (40, 56, 1)])
def test_axis_of_one_pixel_may_be_any(tmp_path, write, kind, shape):
    pixels = read_radiograph(write(tmp_path / f"a.{kind}", VALUES.reshape(shape))).pixels
    np.testing.assert_allclose(pixels, expected(VALUES), atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize(("write", "kind"), [(write_metaimage, "mha"), (write_nrrd, "nrrd")])
def test_itk_types(tmp_path, dtype, write, kind):
    values = picture(top=250, dtype=dtype)
    np.testing.assert_allclose(
        read_radiograph(write(tmp_path / f"a.{kind}", values)).pixels, expected(values), atol=1e-6
    )


@pytest.mark.parametrize(("write", "kind"), [(write_metaimage, "mhd"), (write_nrrd, "nhdr")])
def test_detached_data(tmp_path, write, kind):
    data = tmp_path / "a.raw"
    path = write(tmp_path / f"a.{kind}", VALUES, data=data)
    np.testing.assert_allclose(read_radiograph(path).pixels, expected(VALUES), atol=1e-6)
    data.unlink()
    with pytest.raises(ImageError, match="without its data"):
        read_radiograph(path)


def test_itk_refusals(tmp_path):
    for name, write in (("a.mha", write_metaimage), ("a.nrrd", write_nrrd)):
        with pytest.raises(ImageError, match="is a volume or a series of 56 x 40 x 3 pixels"):
            read_radiograph(write(tmp_path / name, np.stack([VALUES] * 3)))
        with pytest.raises(ImageError, match="is 56 x 40 = 2240 pixels, more than max_pixels = 2000"):
            read_radiograph(write(tmp_path / name, VALUES), max_pixels=2000)
    with pytest.raises(ImageError, match="holds 3 values per pixel"):
        read_radiograph(write_metaimage(tmp_path / "a.mha", np.stack([VALUES] * 3, axis=2), channels=3))
