import concurrent.futures
import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from image_files import picture, write_dicom, write_metaimage, write_nifti, write_nrrd, write_tiff
from PIL import Image

from bundle.errors import ConfigError, ImageError
from bundle.io.intensity import scale_to_unit
from bundle.io.radiographs import read_radiograph

AFFINE = np.diag([-0.1, -0.2, 1, 1])


def write_png(path, values):
    Image.fromarray(values).save(path)
    return path


def test_all_formats_give_the_same_pixels(tmp_path):
    values = picture(700, 800, top=4095)  # large enough for the percentiles to be taken from a part of the pixels
    values += np.random.default_rng(0).integers(0, 300, values.shape, dtype=np.uint16)
    signed = values.astype(np.int16)
    paths = [
        write_dicom(tmp_path / "a.dcm", values, 16),
        write_dicom(tmp_path / "b.dcm", signed - np.int16(1000), 16, RescaleSlope=1, RescaleIntercept=1000),
        write_png(tmp_path / "a.png", values),
        write_tiff(tmp_path / "a.tif", values),
        write_tiff(tmp_path / "b.tif", values.astype(np.float32)),
        write_nifti(tmp_path / "a.nii.gz", values.T, AFFINE),
        write_nifti(tmp_path / "b.nii", values.T[..., None].astype(np.float64), AFFINE),
        write_metaimage(tmp_path / "a.mha", values),
        write_metaimage(tmp_path / "b.mha", values[None].astype(np.int32)),
        write_nrrd(tmp_path / "a.nrrd", values),
    ]
    first = read_radiograph(paths[0]).pixels
    assert first.shape == values.shape and first.min() == 0 and first.max() == 1
    for path in paths[1:]:
        np.testing.assert_allclose(read_radiograph(path).pixels, first, atol=1e-6, err_msg=path.name)
    # one pixel is where it was drawn: rows down, columns to the right
    assert np.corrcoef(first.mean(axis=1), values.mean(axis=1))[0, 1] > 0.9999
    assert np.corrcoef(first.mean(axis=0), values.mean(axis=0))[0, 1] > 0.9999


def test_content_goes_before_the_name(tmp_path):
    values = picture()
    wanted = read_radiograph(write_png(tmp_path / "a.png", values)).pixels
    for name in ("a.dcm", "a.jpg", "noname", "1.2.840.10008"):
        (tmp_path / name).write_bytes((tmp_path / "a.png").read_bytes())
        np.testing.assert_array_equal(read_radiograph(tmp_path / name).pixels, wanted)
    dicom = write_dicom(tmp_path / "b.png", values)
    np.testing.assert_allclose(read_radiograph(str(dicom)).pixels, wanted, atol=1e-6)
    assert read_radiograph(str(dicom)).path == dicom


@pytest.mark.parametrize(
    ("spacing", "pair"),
    [
        (0.1, (0.1, 0.1)),
        ((0.1, 0.2), (0.1, 0.2)),
        ([1, 2], (1.0, 2.0)),
        (np.array([0.1, 0.2]), (0.1, 0.2)),
        (np.float32(1), (1, 1)),
    ],
)
def test_given_spacing_overrides_the_file(tmp_path, spacing, pair):
    path = write_dicom(tmp_path / "a.dcm", picture(), PixelSpacing=[0.5, 0.6])
    radiograph = read_radiograph(path, spacing=spacing)
    assert radiograph.spacing == pytest.approx(pair) and radiograph.spacing_source == "config"
    assert all(type(value) is float for value in radiograph.spacing)
    np.testing.assert_array_equal(radiograph.pixel_to_lps, read_radiograph(path).pixel_to_lps)


@pytest.mark.parametrize(
    "spacing", [0, -0.1, float("nan"), float("inf"), "0.1", True, [], [1, 2, 3], [0.1, 0], ["a", "b"], {}]
)
def test_bad_spacing(tmp_path, spacing):
    with pytest.raises(ConfigError, match="the pixel spacing is"):
        read_radiograph(write_png(tmp_path / "a.png", picture()), spacing=spacing)


@pytest.mark.parametrize("max_pixels", [0, -1, 1.5, True, "many", None])
def test_bad_max_pixels(tmp_path, max_pixels):
    with pytest.raises(ConfigError, match="max_pixels is"):
        read_radiograph(write_png(tmp_path / "a.png", picture()), max_pixels=max_pixels)


def test_invert(tmp_path):
    path = write_nifti(tmp_path / "a.nii", picture().T, AFFINE)
    plain = read_radiograph(path).pixels
    np.testing.assert_allclose(read_radiograph(path, invert=True).pixels, 1 - plain, atol=1e-6)
    np.testing.assert_array_equal(read_radiograph(path, invert=False).pixels, plain)


def test_paths_that_are_no_image(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.dcm").write_text("hello " * 100)
    (tmp_path / "notes.txt").write_text("hello")
    for name, message in {
        "absent.png": "does not exist",
        ".": "is not a file",
        "empty.png": r"is named \.png but holds no image",
        "text.dcm": r"is named \.dcm but holds no image",
        "notes.txt": "notes.txt holds no image",
    }.items():
        with pytest.raises(ImageError, match=message) as caught:
            read_radiograph(tmp_path / name)
        assert str(tmp_path) in str(caught.value) and str(caught.value).endswith(".")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file(tmp_path):
    path = write_png(tmp_path / "a.png", picture())
    path.chmod(0)
    with pytest.raises(ImageError, match="cannot be opened"):
        read_radiograph(path)


def test_robust_limits():
    values = picture(200, 200, top=1000).astype(np.uint16)
    values[3, 3] = 65535
    scaled = scale_to_unit(values, Path("a"))
    assert scaled[3, 3] == 1 and np.median(scaled) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_mostly_empty_image_uses_all_values(dtype):
    values = np.zeros((300, 300), dtype)
    values[0, 0] = 50
    scaled = scale_to_unit(values, Path("a"))
    assert scaled[0, 0] == 1 and scaled.sum() == 1


class TestEightBit:
    """``grey_values="eight_bit"``."""

    def test_values_of_8_bits_are_divided_by_255_alone(self, tmp_path):
        values = np.clip(picture(top=100).astype(np.uint8) + 30, 0, 255).astype(np.uint8)
        read = partial(read_radiograph, write_png(tmp_path / "a.png", values), grey_values="eight_bit")
        np.testing.assert_array_equal(read().pixels, values.astype(np.float32) / np.float32(255))
        np.testing.assert_array_equal(read(invert=True).pixels, (255 - values).astype(np.float32) / np.float32(255))

    @pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.float32])
    def test_deeper_values_are_stretched_and_rounded_to_8_bits(self, dtype):
        values = picture(top=1000).astype(dtype)
        found = scale_to_unit(values, Path("a"), grey_values="eight_bit")
        stretched = scale_to_unit(values, Path("a"))
        np.testing.assert_array_equal(found, np.rint(stretched * 255).astype(np.float32) / np.float32(255))
        assert found.dtype == np.float32 and len(np.unique(found)) > 50

    def test_what_is_hidden_stays_dark_and_an_empty_image_is_refused(self):
        values, hidden = picture(top=100).astype(np.uint8), np.zeros(picture().shape, bool)
        hidden[:5] = True
        found = scale_to_unit(values, Path("a"), ignored=hidden, invert=True, grey_values="eight_bit")
        assert not found[:5].any() and found[5:].all()
        with pytest.raises(ImageError, match="is empty"):
            scale_to_unit(np.full((9, 9), 7, np.uint8), Path("a"), grey_values="eight_bit")

    def test_another_name_is_refused(self):
        with pytest.raises(ConfigError, match="expected one of stretch, eight_bit"):
            scale_to_unit(picture(), Path("a"), grey_values="window")


def test_big_endian_and_strided_values():
    values = picture()
    wanted = scale_to_unit(values, Path("a"))
    np.testing.assert_array_equal(scale_to_unit(values.astype(">u2"), Path("a")), wanted)
    turned = scale_to_unit(np.asfortranarray(values), Path("a"))
    np.testing.assert_array_equal(turned, wanted)
    assert turned.flags.c_contiguous


def test_large_offset_keeps_the_contrast():
    values = picture(top=1000).astype(np.float64)
    np.testing.assert_allclose(scale_to_unit(values + 1e9, Path("a")), scale_to_unit(values, Path("a")), atol=1e-6)


def test_several_threads_may_read(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", picture())
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: read_radiograph(path).pixels, range(8)))
    for result in results:
        np.testing.assert_array_equal(result, results[0])
