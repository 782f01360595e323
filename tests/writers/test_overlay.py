"""The picture: what is drawn lies where it belongs, and what is said beside it."""

import io
import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageChops

from bundle.errors import BundleError
from bundle.records.prediction import MeasuredValue
from bundle.writers.overlay import (
    abbreviations,
    confidence_colours,
    draw_overlay,
    overlay_png,
    panel_lines,
    place_labels,
)
from tests.writers.test_result_writers import prediction as any_prediction


def prediction(points, width=800, height=600, confidence=None, names=None, spacing=None):
    points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    return any_prediction(
        count=len(points),
        names=tuple(names or map(str, range(1, len(points) + 1))),
        points=points,
        confidence=np.ones(len(points)) if confidence is None else np.asarray(confidence, dtype=np.float64),
        width=width,
        height=height,
        spacing=spacing,
    )


def grey(found, value=0.4):
    return np.full((found.height, found.width), value, np.float32)


def confidence_colour(confidence):
    return tuple(confidence_colours(np.array(confidence)).tolist())


def overlay_scale(found):
    """(fx, fy), by the part of the picture that changes with the pixels."""
    dark, light = (draw_overlay(found, grey(found, value)) for value in (0, 1))
    _, _, columns, rows = ImageChops.difference(dark, light).getbbox()
    return np.array([columns / found.width, rows / found.height])


def place(found, i=0):
    return (found.points[i] + 0.5) * overlay_scale(found) - 0.5


def at(picture, x, y):
    return picture.getpixel((min(max(round(x), 0), picture.width - 1), min(max(round(y), 0), picture.height - 1)))


def written(content):
    with Image.open(io.BytesIO(content)) as picture:
        return picture.convert("RGB")


@pytest.mark.parametrize("width, height", [(800, 600), (600, 800), (2400, 1935), (1201, 77), (64, 100), (1000, 3333)])
@pytest.mark.parametrize("spacing", [None, (0.1, 0.1), (0.1, 0.2)])
def test_points_are_drawn_at_the_scaled_place_in_their_colour(width, height, spacing):
    points = [[0.2 * width, 0.3 * height], [0.7 * width, 0.8 * height]]
    found = prediction(points, width, height, confidence=[1.0, 0.6], spacing=spacing)
    picture = written(overlay_png(found, grey(found)))
    assert max(picture.size) <= 1200
    for i, confidence in enumerate((1.0, 0.6)):
        assert at(picture, *place(found, i)) == confidence_colour(confidence)
    fx, fy = overlay_scale(found)
    stretch = 1 if spacing is None else spacing[1] / spacing[0]
    assert fy / fx == pytest.approx(stretch, rel=0.03)


def test_low_confidence_is_a_ring():
    found = prediction([[400, 300]], confidence=[0.2])
    picture = draw_overlay(found, grey(found))
    x, y = place(found)
    assert at(picture, x, y) == (102, 102, 102)
    ring = {at(picture, x + dx, y + dy) for dx in range(-8, 9) for dy in range(-8, 9)}
    assert confidence_colour(0.2) in ring


@pytest.mark.parametrize("corner", [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_a_point_at_the_border_and_its_name_stay_in_the_picture(corner):
    found = prediction([[corner[0] * 799, corner[1] * 599]], names=["long enough"])
    picture = draw_overlay(found, grey(found))
    assert at(picture, *place(found)) == confidence_colour(1)
    ((text, rect),) = place_labels(found.names, place(found)[None], (800, 600))
    assert text == "long enough" and (rect[:2] > 0).all() and (rect[2:] < (800, 600)).all()


def test_names_hide_no_point():
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.arange(6), np.arange(7)), axis=-1).reshape(-1, 2)
    found = prediction(
        (90, 60) + grid * (112, 75) + rng.uniform(-12, 12, grid.shape),
        names=[f"landmark {i}" for i in range(len(grid))],
    )
    picture = draw_overlay(found, grey(found))
    for i in range(len(grid)):
        assert at(picture, *place(found, i)) == confidence_colour(1)
    places = [rect for _, rect in place_labels(found.names, found.points, (800, 600))]
    assert len(places) == len(grid)
    for i, one in enumerate(places):
        for other in places[:i]:
            assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def test_scale_bar_has_the_length_that_it_says(tmp_path):
    found = prediction([[5, 5]], width=1000, height=500, spacing=(0.25, 0.25))
    picture = np.asarray(draw_overlay(found, grey(found)))
    fx, fy = overlay_scale(found)
    middle = round(500 * fy) + (picture.shape[0] - round(500 * fy)) // 2
    rows = picture[middle - 2 : middle + 3, : picture.shape[1] // 3]
    bar = max((np.argwhere((row > 200).all(axis=1)).ravel() for row in rows), key=len)
    run = bar[: int(np.argmax(np.append(np.diff(bar), 99) > 1)) + 1]
    assert len(run) == pytest.approx(50 / 0.25 * fx, abs=3)
    plain = np.asarray(draw_overlay(prediction([[5, 5]], width=1000, height=500), grey(found)))
    assert (plain[middle - 2 : middle + 3, : picture.shape[1] // 3] < 30).all()


@pytest.mark.parametrize("width, height", [(1, 1), (1, 5000), (5000, 1), (15, 200), (2500, 10)])
def test_strange_shapes(width, height):
    found = prediction([[0, 0], [width - 1, height - 1]], width, height, names=["first one", "second"], spacing=(1, 1))
    assert max(written(overlay_png(found, grey(found))).size) <= 1200


def test_missing_outside_and_uncertain_points(tmp_path):
    points = [[np.nan, np.nan], [-5000, 10], [9000, 9000], [400, 300]]
    found = prediction(points, confidence=[np.nan, 1, 1, np.nan])
    pixels = grey(found)
    pixels[0, 0], pixels[1, 1] = np.nan, np.inf
    picture = np.asarray(draw_overlay(found, pixels))
    assert (picture == confidence_colour(0)).all(axis=2).any()


def test_many_landmarks_have_no_names():
    rng = np.random.default_rng(0)
    many = prediction(rng.uniform(0, 500, (2000, 2)), confidence=rng.uniform(0, 1, 2000))
    draw_overlay(many, grey(many))
    assert place_labels([], many.points, (800, 600)) == []


def test_what_was_measured_is_drawn_and_told():
    value = MeasuredValue("AB", "t", "mm", 4.2, segments=((0, 1),))
    found = replace(prediction([[100, 300], [700, 300]]), measurements=(value,))
    plain, picture = (draw_overlay(one, grey(one)) for one in (replace(found, measurements=()), found))
    fx, fy = overlay_scale(found)
    assert picture.width > plain.width and picture.crop((round(800 * fx) + 5, 0, *picture.size)).getbbox()
    assert at(picture, 400 * fx, 300.5 * fy - 0.5)[0] > 150 > at(plain, 400 * fx, 300.5 * fy - 0.5)[0]
    many = replace(found, measurements=tuple(replace(value, name=f"m{i}") for i in range(300)))
    assert max(draw_overlay(many, grey(many)).size) <= 1200


def test_picture_shows_the_pixels(tmp_path):
    found = prediction([[10, 10]], width=2000, height=1001)
    pixels = np.tile(np.linspace(0, 1, 2000, dtype=np.float32), (1001, 1))
    picture = np.asarray(draw_overlay(found, pixels))
    fx, fy = overlay_scale(found)
    row = picture[round(900 * fy), :, 0].astype(float)
    expected = 255 * np.clip(((np.arange(len(row)) + 0.5) / fx - 0.5) / 1999, 0, 1)
    assert np.abs(row - expected).max() < 1.5
    assert (picture[: round(1001 * fy)].std(axis=2) > 0).mean() < 0.01


def test_colours_grow_brighter():
    brightness = [np.dot(confidence_colour(c), (0.299, 0.587, 0.114)) for c in np.linspace(0, 1, 21)]
    assert (np.diff(brightness) > 0).all()
    assert confidence_colour(np.nan) == confidence_colour(-3) == confidence_colour(0)
    assert confidence_colour(2) == confidence_colour(1)


def test_what_cannot_be_drawn_is_refused():
    found = prediction([[1, 1]])
    with pytest.raises(BundleError, match="have the shape"):
        overlay_png(found, np.zeros((800, 600), np.float32))


VALUES = (
    MeasuredValue("ANB", "t", "deg", 3.2123, 0.71, (3.2, 5.7), "class I"),
    MeasuredValue("MW", "t", "mm", -2.0, math.nan, (2.0, None)),
    MeasuredValue("FHI", "t", "1", 0.65432, normal_range=(None, 0.6), decimals=3),
    MeasuredValue("骨", "t", "mm", math.nan, note="landmark 骨 is missing"),
)


def test_what_the_column_says() -> None:
    lines = panel_lines(any_prediction(measurements=VALUES, names=tuple("abcde")))
    assert [line[:2] for line in lines] == [
        ("ANB", "3.2° ± 0.7"),
        ("", "class I"),
        ("MW", "-2.0 mm"),
        ("", "below normal"),
        ("FHI", "0.654"),
        ("", "above normal"),
        ("?", "-"),
        ("", "landmark ? is missing"),
    ]
    assert lines[0].colour != lines[2].colour == lines[4].colour, "what is not normal"


@pytest.mark.parametrize(("spacing", "error"), [((0.1, 0.1), "1.2 mm"), (None, "12 px")])
def test_short_forms_have_a_key(spacing: tuple[float, float] | None, error: str) -> None:
    found = any_prediction(count=2, names=("sella", "gonion"), expected_error=np.array([12.0, np.nan]), spacing=spacing)
    lines = panel_lines(found)
    assert [line[:2] for line in lines] == [
        ("", "landmarks, expected error"),
        ("S", f"sella  {error}"),
        ("Go", "gonion"),
    ]


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["sella", "subspinale", "Incision_superius", "soft-tissue pogonion"], ["S", "A", "U1", "Pog'"]),
        (["tip", "wrist", "wrist left", "world", "W"], ["tip", "W", "WL", "Wo", "5"]),
        (["1", "2", "37"], ["1", "2", "37"]),
        (["骨", "sella"], ["1", "2"]),
        (["___", "-----"], ["___", "2"]),
    ],
)
def test_abbreviations(names: list[str], short: list[str]) -> None:
    assert abbreviations(names) == short
