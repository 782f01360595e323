"""Affine maps: what they do to points they do to images."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from bundle.pose.affine import apply, distortion, inside, scaling, turn_and_scale, warp


def turned(degrees: float, scale: float = 1.0, mirrored: bool = False) -> np.ndarray:
    angle = math.radians(-degrees)  # y points down, so a turn to the left has a negative angle
    matrix = np.eye(3)
    matrix[:2, :2] = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return matrix @ np.diag([-1.0 if mirrored else 1.0, 1.0, 1.0])


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(("degrees", "scale"), [(0, 1), (30, 0.5), (-135, 2), (179, 1)])
def test_a_similarity_is_taken_apart(degrees: float, scale: float, mirrored: bool) -> None:
    found = turn_and_scale(turned(degrees, scale, mirrored))
    assert found == (mirrored, pytest.approx(degrees), pytest.approx(scale))
    assert distortion(turned(degrees, scale, mirrored)) == pytest.approx(1)


def test_distortion_is_the_ratio_of_the_axes() -> None:
    assert distortion(turned(40) @ np.diag([0.8, 1.0, 1.0])) == pytest.approx(1.25)


def test_scaling_keeps_the_image_s_corners() -> None:
    corners = np.array([[-0.5, -0.5], [59.5, 39.5]])
    np.testing.assert_allclose(apply(scaling(0.5, 2), corners), [[-0.5, -0.5], [29.5, 79.5]])


def test_inside_counts_whole_pixels() -> None:
    points = np.array([[-0.4, 0], [-0.6, 0], [59.4, 39.4], [59.6, 39], [3, 39.6], [2, 2]])
    assert inside(points, (40, 60)).tolist() == [True, False, True, False, False, True]
    assert inside(points, (40, 60), margin=2).tolist() == [False] * 5 + [True]


def test_a_warp_is_scipy_s() -> None:
    image = np.random.default_rng(0).random((40, 60))
    matrix = turned(25, 0.9, mirrored=True)
    matrix[:2, 2] = 50, 10
    seen = warp(torch.from_numpy(image)[None, None], matrix, (30, 44))[0, 0].numpy()
    x, y = np.meshgrid(np.arange(44), np.arange(30))
    places = apply(matrix, np.stack([x.ravel(), y.ravel()], axis=1))
    wanted = ndimage.map_coordinates(image, places.T[::-1], order=1, mode="nearest").reshape(30, 44)
    np.testing.assert_allclose(seen, wanted, atol=1e-9)


def test_a_smaller_image_is_averaged_and_stays_in_place() -> None:
    image = torch.zeros(1, 1, 80, 80)
    image[..., 33:48, 33:48] = 1
    seen = warp(image, scaling(8, 8), (10, 10))[0, 0].numpy()
    y, x = ndimage.center_of_mass(seen)
    np.testing.assert_allclose(apply(scaling(8, 8), np.array([[x, y]])), [[40, 40]], atol=0.1)
