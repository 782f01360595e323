from pathlib import Path

import numpy as np
import pytest
from image_files import picture
from PIL import Image

from bundle.io.intensity import scale_to_unit, uniform_frame
from bundle.io.radiographs import read_radiograph

PATH = Path("a")


def noisy(height=200, width=240, low=60, high=190):
    """An image in which no row and no column is uniform."""
    generator = np.random.default_rng(0)
    return (
        (picture(height, width, top=high - low, dtype=np.float64) + low + generator.normal(0, 6, (height, width)))
        .clip(low, high)
        .astype(np.uint8)
    )


def framed(image, top=20, bottom=30, left=25, right=40, values=(0, 0, 0, 0)):
    height, width = image.shape
    frame = np.zeros((height + top + bottom, width + left + right), image.dtype)
    frame[:, :left], frame[:, left + width :] = values[2], values[3]
    frame[:top], frame[top + height :] = values[0], values[1]
    frame[top : top + height, left : left + width] = image
    return frame


def beside_air():
    image = noisy()
    image[50:, :60] = 0
    return image


INSIDE = (slice(20, 220), slice(25, 265))


@pytest.mark.parametrize("values", [(0,) * 4, (255,) * 4, (0, 255, 0, 255), (255, 0, 0, 0), (0, 0, 255, 0)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_frame_does_not_count_in_the_scaling(values, dtype):
    image = noisy().astype(dtype)
    frame = framed(image, values=values)
    found = uniform_frame(frame)
    assert (found.rows, found.columns) == (slice(28, 212), slice(33, 257)) and set(found.values) == set(values)
    scaled = scale_to_unit(frame, PATH)
    np.testing.assert_allclose(scaled[INSIDE], scale_to_unit(image, PATH), atol=0.05)
    np.testing.assert_allclose(scaled[INSIDE], as_before(image, image[8:-8, 8:-8]), atol=1e-6)
    assert set(np.unique(scaled[:20])) <= {0.0, 1.0}


def test_one_strip_is_a_frame():
    image = noisy()
    for turns in range(4):
        frame = np.rot90(np.concatenate([np.full((20, image.shape[1]), 255, np.uint8), image]), turns)
        inside = np.rot90(scale_to_unit(np.ascontiguousarray(frame), PATH), -turns)[20:]
        wanted = np.rot90(scale_to_unit(np.ascontiguousarray(np.rot90(image, turns)), PATH), -turns)
        np.testing.assert_allclose(inside, wanted, atol=0.05)


def test_a_frame_of_jpeg_noise(tmp_path):
    image = noisy()
    Image.fromarray(framed(image, values=(255,) * 4)).save(tmp_path / "a.jpg", quality=90)
    scaled = read_radiograph(tmp_path / "a.jpg").pixels[INSIDE]
    assert np.abs(scaled - scale_to_unit(image, PATH)).mean() < 0.03
    assert scaled.max() > 0.98


def as_before(values, sample=None):
    low, high = np.percentile(values if sample is None else sample, (0.5, 99.5))
    return np.clip((values.astype(np.float64) - low) / (high - low), 0, 1).astype(np.float32)


@pytest.mark.parametrize(
    "image",
    [
        noisy(),
        framed(noisy(), 3, 3, 3, 3, values=(255, 0, 255, 0)),  # the edge of a film, thinner than 2 % of the side
        framed(beside_air(), values=(0,) * 4),  # air inside is as black
        framed(noisy(), values=(120,) * 4),  # a grey within the range
    ],
    ids=["no frame", "film edge", "air", "grey"],
)
def test_ordinary_images_are_scaled_as_a_whole(image):
    np.testing.assert_allclose(scale_to_unit(image, PATH), as_before(image), atol=1e-6)


def test_what_leaves_too_little_is_no_frame():
    image = np.zeros((300, 300), np.uint8)
    image[140:150, 140:150] = noisy()[:10, :10]
    assert uniform_frame(image) is None
    assert uniform_frame(np.full((50, 50), 7, np.uint8)) is None


def test_numbers_that_are_not_finite():
    image = framed(noisy().astype(np.float32), values=(255,) * 4)
    image[50:60, 50:60] = np.nan
    scaled = scale_to_unit(image, PATH)
    assert np.isfinite(scaled).all() and scaled[INSIDE].max() == 1 and not scaled[50:60, 50:60].any()
    image[:] = np.nan
    image[:20] = np.inf
    assert uniform_frame(image) is None
