import struct
import zlib

import numpy as np
import pytest
from image_files import expected, picture, write_png_of_channels, write_tiff
from PIL import Image

from bundle.errors import ImageError
from bundle.io.radiographs import read_radiograph

GREY = picture(64, 90, top=255, dtype=np.uint8)


def save(path, pixels, **options):
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)
    return path


def colour_of(grey: np.ndarray) -> np.ndarray:
    return np.stack([grey, grey[::-1], grey[:, ::-1]], axis=2)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.tiff", "a.bmp", "A.PNG"])
def test_8_bits(tmp_path, name):
    radiograph = read_radiograph(save(tmp_path / name, GREY))
    assert radiograph.pixels.shape == GREY.shape and radiograph.pixels.dtype == np.float32
    np.testing.assert_allclose(radiograph.pixels, expected(GREY), atol=1e-6)
    assert radiograph.spacing is None and radiograph.spacing_source is None
    np.testing.assert_array_equal(radiograph.pixel_to_lps, [[1, 0, 0], [0, 1, 0], [0, 0, 0]])


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_of_grey(tmp_path, mode):
    path = save(tmp_path / "a.jpg", Image.fromarray(GREY).convert(mode), quality=97)
    pixels = read_radiograph(path).pixels
    assert pixels.shape == GREY.shape
    assert np.abs(pixels - expected(GREY)).mean() < 0.01


def test_jpeg_with_chroma_noise_is_grey(tmp_path):
    noise = np.random.default_rng(0).normal(0, 4, (*GREY.shape, 3))
    noisy = np.clip(GREY[..., None] + noise, 0, 255).astype(np.uint8)
    for quality in (40, 90):
        pixels = read_radiograph(save(tmp_path / "a.jpg", noisy, quality=quality)).pixels
        assert pixels.shape == GREY.shape
        assert np.abs(pixels - expected(GREY)).mean() < 0.02


def test_jpeg_in_rgb_without_colour_transform(tmp_path):
    path = save(tmp_path / "a.jpg", Image.fromarray(GREY).convert("RGB"), quality=97, keep_rgb=True)
    assert np.abs(read_radiograph(path).pixels - expected(GREY)).mean() < 0.01


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_16_bits(tmp_path, kind):
    values = picture(top=65535)
    pixels = read_radiograph(save(tmp_path / f"a.{kind}", values)).pixels
    np.testing.assert_allclose(pixels, expected(values), atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.float32])
def test_tiff_types(tmp_path, dtype):
    values = picture(top=120).astype(np.int64)
    if dtype != np.uint8:
        values = values - 60 * np.issubdtype(dtype, np.signedinteger)
    if dtype == np.uint32:
        values = values * (2**32 // 121)
    values = values.astype(dtype)
    pixels = read_radiograph(write_tiff(tmp_path / "a.tif", values)).pixels
    np.testing.assert_allclose(pixels, expected(values), atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_tiff_with_white_as_zero_is_inverted(tmp_path, dtype):
    values = picture(top=200).astype(dtype)
    pixels = read_radiograph(write_tiff(tmp_path / "a.tif", values, white_is_zero=True)).pixels
    np.testing.assert_allclose(pixels, 1 - expected(values), atol=1e-6)


def test_not_finite_pixels_are_dark_and_ignored(tmp_path):
    values = picture().astype(np.float32)
    values[0, :3] = np.nan, np.inf, -np.inf
    pixels = read_radiograph(save(tmp_path / "a.tif", values)).pixels
    assert np.isfinite(pixels).all() and not pixels[0, :3].any()
    np.testing.assert_allclose(pixels[1:], expected(picture())[1:], atol=0.01)


def test_palette_of_grey(tmp_path):
    image = Image.fromarray(GREY).convert("P")
    image.putpalette([level for level in range(256) for _ in range(3)])
    image.putdata(GREY.ravel().tolist())
    np.testing.assert_allclose(read_radiograph(save(tmp_path / "a.png", image)).pixels, expected(GREY), atol=1e-6)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_grey_in_other_modes(tmp_path, mode):
    path = save(tmp_path / "a.png", Image.fromarray(GREY).convert(mode))
    np.testing.assert_allclose(read_radiograph(path).pixels, expected(GREY), atol=1e-6)


@pytest.mark.parametrize("top", [1023, 4095, 65535])
def test_channels_of_16_bits_are_refused(tmp_path, top):
    """Pillow keeps the upper 8 of them, of which content of 10 or 12 bits has few."""
    grey = picture(top=top)
    opaque = np.full_like(grey, 65535)
    files = [
        write_png_of_channels(tmp_path / "colour.png", np.stack([grey] * 3, axis=2)),
        write_png_of_channels(tmp_path / "alpha.png", np.stack([grey, opaque], axis=2)),
        write_png_of_channels(tmp_path / "both.png", np.stack([*[grey] * 3, opaque], axis=2)),
        write_tiff(tmp_path / "colour.tif", np.stack([grey] * 3, axis=2)),
        write_tiff(tmp_path / "planar.tif", np.stack([grey] * 3, axis=2), planar=True),
        write_tiff(tmp_path / "both.tif", np.stack([*[grey] * 3, opaque], axis=2), alpha=True),
    ]
    for path in files:
        with pytest.raises(ImageError, match="has more than 8 bits in each of several channels"):
            read_radiograph(path)
    alone = write_png_of_channels(tmp_path / "grey.png", grey[..., None])
    np.testing.assert_allclose(read_radiograph(alone).pixels, expected(grey), atol=1e-6)


def test_small_coloured_mark_is_accepted(tmp_path):
    marked = np.repeat(GREY[..., None], 3, axis=2)
    marked[2:6, 2:6] = 255, 0, 0
    pixels = read_radiograph(save(tmp_path / "a.png", marked)).pixels
    # The mark stretches the range of grey values, and changes nothing else around it.
    assert np.corrcoef(pixels[6:].ravel(), GREY[6:].ravel())[0, 1] > 0.9999


COLOUR = Image.fromarray(colour_of(GREY))
THIN = Image.merge("LA", [Image.fromarray(GREY)] * 2)
ONE_BIT = Image.fromarray(GREY).convert("1")
SEVERAL = {"save_all": True, "append_images": [Image.fromarray(GREY)] * 2}


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[274] = orientation
    return exif


@pytest.mark.parametrize(
    ("name", "image", "options", "words"),
    [
        *((f"a.{kind}", COLOUR, {}, "is a colour image") for kind in ("png", "jpg", "tif", "bmp")),
        ("a.png", COLOUR.quantize(64), {}, "colour image"),
        ("a.jpg", COLOUR.convert("CMYK"), {}, "colour image"),
        *(("a.png", THIN.convert(mode), {}, "transparent") for mode in ("LA", "RGBA")),
        *((f"a.{kind}", ONE_BIT, {}, "one bit per pixel") for kind in ("png", "tif", "bmp")),
        *((f"a.{kind}", GREY, {"exif": turned(6)}, r"EXIF orientation 6") for kind in ("jpg", "png")),
        ("a.tif", GREY, SEVERAL, "holds 3 pictures"),
    ],
)
def test_refusals(tmp_path, name, image, options, words):
    path = save(tmp_path / name, image, **options)
    with pytest.raises(ImageError, match=words) as caught:
        read_radiograph(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_an_exif_orientation_that_turns_nothing(tmp_path, kind):
    assert read_radiograph(save(tmp_path / f"b.{kind}", GREY, exif=turned(1))).pixels.shape == GREY.shape


def test_tiff_orientation_is_refused(tmp_path):
    with pytest.raises(ImageError, match=r"EXIF orientation 8"):
        read_radiograph(write_tiff(tmp_path / "a.tif", GREY, orientation=8))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.png", {"dpi": (300, 150)}),
        ("a.bmp", {"dpi": (300, 150)}),
        ("a.jpg", {"dpi": (300, 150)}),
        ("a.tif", {"dpi": (300, 150)}),
        ("a.tif", {"resolution": 100, "resolution_unit": 3}),
        ("a.tif", {"resolution": 100, "resolution_unit": 1}),
        ("a.jpg", {}),
        ("a.tif", {}),
    ],
)
def test_print_resolution_is_no_spacing_but_places_the_pixels_as_itk_does(tmp_path, name, options):
    itk = pytest.importorskip("itk")
    path = save(tmp_path / name, GREY, **options)
    radiograph = read_radiograph(path)
    assert radiograph.spacing is None
    x, y = itk.imread(str(path)).GetSpacing()
    np.testing.assert_allclose(radiograph.pixel_to_lps, [[x, 0, 0], [0, y, 0], [0, 0, 0]], rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "options", "aspect"),
    [
        ("a.jpg", {"dpi": (300, 150)}, 2.0),
        ("a.png", {"dpi": (300, 150)}, 2.0),
        ("a.bmp", {"dpi": (100, 200)}, 0.5),
        ("a.tif", {"dpi": (300, 150)}, 2.0),
        ("a.tif", {"x_resolution": 1, "y_resolution": 2, "resolution_unit": 1}, 0.5),
        ("a.tif", {"x_resolution": 0, "y_resolution": 2}, 1.0),
        ("a.jpg", {"dpi": (72, 72)}, 1.0),
        ("a.png", {}, 1.0),
    ],
)
def test_print_resolution_gives_the_proportion_of_a_pixel(tmp_path, name, options, aspect):
    radiograph = read_radiograph(save(tmp_path / name, GREY, **options))
    assert radiograph.spacing is None
    assert radiograph.pixel_size == (1.0, pytest.approx(aspect, rel=1e-3))


def test_proportions_without_a_unit(tmp_path):
    jpeg = save(tmp_path / "a.jpg", GREY)
    content = jpeg.read_bytes()
    place = content.index(b"JFIF\0") + 7
    assert content[place : place + 5] == bytes([0, 0, 1, 0, 1])  # no unit, 1 : 1
    jpeg.write_bytes(content[:place] + bytes([0, 0, 2, 0, 1]) + content[place + 5 :])
    assert read_radiograph(jpeg).pixel_size == (1.0, 2.0)
    png = save(tmp_path / "a.png", GREY, dpi=(100, 100))
    content = png.read_bytes()
    place = content.index(b"pHYs")
    chunk = b"pHYs" + struct.pack(">IIB", 3, 1, 0)
    png.write_bytes(content[:place] + chunk + struct.pack(">I", zlib.crc32(chunk)) + content[place + 17 :])
    assert read_radiograph(png).pixel_size == (1.0, 3.0)


def png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    data = b"IDAT" + zlib.compress(b"\0" * 1000)
    return start + struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))


@pytest.mark.parametrize(
    ("size", "limit", "message"),
    [
        ((60000, 60000), 200_000_000, "60000 x 60000 = 3600000000 pixels, more than max_pixels = 200000000"),
        ((100, 100), 9_999, "100 x 100 = 10000 pixels, more than max_pixels = 9999"),
        ((31, 100), 10_000, "is 31 x 100 pixels, but each side"),
        ((1, 1), 10_000, "is 1 x 1 pixels"),
        ((100, 100), 10_000, "damaged, cut short"),
    ],
)
def test_size_is_judged_by_the_header(tmp_path, size, limit, message):
    path = tmp_path / "a.png"
    path.write_bytes(png_header(*size))
    with pytest.raises(ImageError, match=message):
        read_radiograph(path, max_pixels=limit)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.bmp"])
def test_truncated_at_many_lengths(tmp_path, name):
    content = save(tmp_path / name, GREY).read_bytes()
    whole = read_radiograph(tmp_path / name).pixels
    cut = tmp_path / f"cut_{name}"
    for length in sorted({*range(0, len(content), max(1, len(content) // 60)), len(content) - 1}):
        cut.write_bytes(content[:length])
        try:
            pixels = read_radiograph(cut).pixels
        except ImageError as error:
            assert str(cut) in str(error) and "\n" not in str(error)
        else:  # only the end mark is missing
            assert length > len(content) - 24
            np.testing.assert_array_equal(pixels, whole)
