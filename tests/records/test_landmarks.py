import math

import numpy as np
import pytest

from bundle.errors import LandmarkError
from bundle.records.landmarks import LandmarkSet

NAN = math.nan


def test_points_become_float64_and_names_strings() -> None:
    landmarks = LandmarkSet((1, "b"), [[1, 2], [NAN, NAN]])  # type: ignore[arg-type]
    assert landmarks.names == ("1", "b")
    assert landmarks.points.dtype == np.float64
    assert len(landmarks) == 2
    assert landmarks.missing.tolist() == [False, True]


@pytest.mark.parametrize(
    ("names", "points", "complaint"),
    [
        ((), np.zeros((0, 2)), "there is no landmark"),
        (("a",), np.zeros(2), r"\(N, 2\)"),
        (("a",), np.zeros((1, 3)), r"\(N, 2\)"),
        (("a", "b"), np.zeros((1, 2)), "2 landmark names for 1 points"),
        (("a", " "), np.zeros((2, 2)), "number 2 has no name"),
        (("a", "b", "a", "b"), np.zeros((4, 2)), "'a' is used more than once"),
        (("a",), [[1.0, NAN]], "landmark a"),
        (("a", "b"), [[1.0, 2.0], [math.inf, 2.0]], "landmark b"),
    ],
)
def test_what_is_no_set_of_landmarks_is_refused(names: tuple, points: np.ndarray, complaint: str) -> None:
    with pytest.raises(LandmarkError, match=complaint):
        LandmarkSet(names, np.asarray(points))


@pytest.mark.parametrize("point", [(0, 0), (-0.5, -0.5), (96.5, 119.5), (96, 0), (0, 119)])
def test_points_on_the_image_are_inside(point: tuple[float, float]) -> None:
    LandmarkSet(("a",), np.array([point])).require_inside(97, 120, "image")


@pytest.mark.parametrize("point", [(-0.6, 5), (5, -0.6), (96.6, 5), (5, 119.6), (110, 90)])
def test_points_off_the_image_are_refused_by_name(point: tuple[float, float]) -> None:
    landmarks = LandmarkSet(("good", "bad"), np.array([(1, 1), point]))
    with pytest.raises(LandmarkError, match=r"template x\.png: landmark bad at .* 97 x 120"):
        landmarks.require_inside(97, 120, "template x.png")


def test_a_missing_landmark_is_not_inside() -> None:
    with pytest.raises(LandmarkError, match="landmark b has no coordinates"):
        LandmarkSet(("a", "b"), np.array([(1, 1), (NAN, NAN)])).require_inside(97, 120, "template")
