"""Canvases: what is seen on them, and the way back."""

import numpy as np
import pytest
import torch

from bundle.pose.affine import apply, scaling
from bundle.pose.view import Field, View, as_it_lies, in_template_frame, missing_probability
from tests.pose.test_affine import turned

SIZE = 40, 60
POINTS = np.array([[10.0, 20.0], [50.0, 20.0], [10.0, 50.0], [50.0, 90.0]])


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("quarters", range(4))
def test_pixels_are_only_rearranged(quarters: int, mirrored: bool) -> None:
    upright = np.random.default_rng(0).random((60, 40) if quarters % 2 else SIZE, np.float32)
    image = np.rot90(upright[:, ::-1] if mirrored else upright, quarters)
    view = as_it_lies(SIZE, mirrored=mirrored, quarters=quarters, inverted=True)
    seen = view.see(torch.from_numpy(image.copy())[None, None])[0, 0].numpy()
    np.testing.assert_allclose(seen, 1 - upright, atol=1e-5)


@pytest.mark.parametrize("quarters", [0, 1])
def test_pixels_get_the_template_s_shape(quarters: int) -> None:
    view = as_it_lies(SIZE, aspect=2.0, template_aspect=1.0, quarters=quarters)
    assert view.size == ((60, 80) if quarters else (80, 60))
    corners = apply(view.to_image, np.array([[-0.5, -0.5], [view.size[1] - 0.5, view.size[0] - 0.5]])) + 0.5
    np.testing.assert_allclose(corners.max(axis=0), [60, 40], atol=1e-9)
    np.testing.assert_allclose(corners.min(axis=0), [0, 0], atol=1e-9)


def test_nothing_to_change_changes_nothing() -> None:
    image = torch.rand(1, 1, *SIZE)
    view = as_it_lies(SIZE)
    assert view.see(image) is image and view.back(image) is image


def test_points_and_lengths_come_back() -> None:
    view = View(turned(90, 2.0), SIZE)
    found = torch.tensor([[10.0, 5.0, 0.9, 1.5, 4.0, 0.7, 8.0]])
    assert view.back(found)[0].tolist() == pytest.approx([10.0, -20.0, 0.9, 1.5, 8.0, 0.7, 16.0])


def test_the_frame_grows_only_as_far_as_the_image_reaches() -> None:
    template = torch.zeros(1, 1, 100, 60)
    wide = in_template_frame(np.eye(3), template, POINTS, Field(0, 0, 300, 300), False)
    low = apply(wide.to_image, np.array([[-0.5, -0.5]]))[0]
    assert wide.size == (103, 75) and low.tolist() == pytest.approx([-0.5, -0.5])  # nothing above or to the left
    same = in_template_frame(np.eye(3), template, POINTS, Field(0, 0, 60, 100), False)
    assert same.size == (100, 60) and same.beyond is None and np.array_equal(same.to_image, np.eye(3))
    shifted = np.eye(3)
    shifted[:2, 2] = 100
    around = in_template_frame(shifted, template, POINTS, Field(0, 0, 300, 300), False)
    assert around.size == (106, 90)


def test_a_canvas_is_as_fine_as_the_image_but_not_finer_than_the_matching_looks() -> None:
    template = torch.zeros(1, 1, 100, 60)
    assert in_template_frame(scaling(3, 3), template, POINTS, Field(0, 0, 180, 300), False).size == (300, 180)
    assert max(in_template_frame(scaling(60, 60), template, POINTS, Field(0, 0, 3600, 6000), False).size) == 2400
    assert in_template_frame(scaling(0.5, 0.5), template, POINTS, Field(0, 0, 30, 50), False).size == (100, 60)


def test_beyond_the_image_the_template_is_seen() -> None:
    template = torch.full((1, 1, 100, 60), 0.25)
    shifted = np.eye(3)
    shifted[1, 2] = 40  # the image begins 40 rows above the template's first
    view = in_template_frame(shifted, template, POINTS, Field(0, 0, 60, 100), True)
    seen = view.see(torch.full((1, 1, 100, 60), 0.1))[0, 0]
    assert seen[:63].min() == pytest.approx(0.9)  # the negative, and its border's values in a strip
    assert seen[67:].max() == 0.25


def test_what_was_found_is_seen_where_the_template_has_it() -> None:
    template = torch.zeros(1, 1, 100, 60)
    view = in_template_frame(np.eye(3), template, POINTS, Field(0, 0, 60, 70), False)
    found = torch.zeros(4, 7)
    found[:, :2] = torch.from_numpy(POINTS + np.array([3, 2]))
    found[3, :2] += 10  # it cannot be seen, and counts little
    moved = view.following(found, torch.tensor([True, True, True, False]))
    np.testing.assert_allclose(apply(moved.to_image, POINTS[:3]), POINTS[:3] + np.array([3, 2]), atol=2)
    assert moved.beyond is view.beyond and moved.size == view.size and moved.strip > view.strip
    whole = in_template_frame(np.eye(3), template, POINTS, Field(0, 0, 60, 100), False)
    assert whole.following(found, torch.ones(4, dtype=torch.bool)) is whole


def test_one_landmark_is_only_shifted() -> None:
    view = in_template_frame(np.eye(3), torch.zeros(1, 1, 100, 60), POINTS[:1], Field(0, 0, 60, 70), False)
    found = torch.zeros(1, 7)
    found[:, :2] = torch.from_numpy(POINTS[:1] + np.array([3, 2]))
    moved = view.following(found, torch.tensor([False]))
    np.testing.assert_allclose(moved.to_image, [[1, 0, 3], [0, 1, 2], [0, 0, 1]], atol=1e-9)


@pytest.mark.parametrize(("x", "error", "wanted"), [(-0.5, 5, 0.5), (-10.5, 10, 0.73), (-30.5, 3, 1.0), (20, 3, 0.0)])
def test_what_lies_outside_is_missing(x: float, error: float, wanted: float) -> None:
    found = torch.zeros(2, 7)
    found[0, :2], found[1, :2] = torch.tensor([x, 30.0]), torch.tensor([90.0, 30.0])
    found[:, 6] = error
    assert missing_probability(found, Field(0, 0, 120, 60))[0] == pytest.approx(wanted, abs=0.01)
