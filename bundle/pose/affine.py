"""Affine maps between images: 3 x 3 matrices, float64, that act on pixels ``(x, y, 1)``, pixel centres at integers."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bundle.networks.network import resize

#: An image that becomes smaller by more than this is shrunk with a filter first, so that nothing aliases.
_ALIASES = 1.3


def scaling(x: float, y: float) -> np.ndarray:
    """The map from an image's pixels to those of the same image resized by these factors."""
    return np.array([[x, 0.0, (x - 1) / 2], [0.0, y, (y - 1) / 2], [0.0, 0.0, 1.0]])


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Map points of shape (N, 2)."""
    return points @ matrix[:2, :2].T + matrix[:2, 2]


def turn_and_scale(matrix: np.ndarray) -> tuple[bool, float, float]:
    """Whether a map mirrors, by how many degrees it then turns (counter-clockwise, -180 to 180), and its scale.

    Of a map that is no similarity these are those of the nearest one.
    """
    mirrored = bool(np.linalg.det(matrix[:2, :2]) < 0)
    linear = matrix[:2, :2] * [-1.0, 1.0] if mirrored else matrix[:2, :2]
    turn = -math.degrees(math.atan2(linear[1, 0] - linear[0, 1], linear[0, 0] + linear[1, 1]))
    return mirrored, turn, mean_scale(matrix)


def mean_scale(matrix: np.ndarray) -> float:
    """The side of the square that is as large as what a map makes of a pixel."""
    return math.sqrt(abs(np.linalg.det(matrix[:2, :2])))


def distortion(matrix: np.ndarray) -> float:
    """The largest over the smallest factor by which a map changes lengths: 1 for a similarity."""
    values = np.linalg.svd(matrix[:2, :2], compute_uv=False)
    return float(values[0] / max(values[1], 1e-9))


def inside(points: np.ndarray, size: tuple[int, int], margin: float = 0.0) -> np.ndarray:
    """Which of (N, 2) points lie on an image of (height, width), at least ``margin`` pixels from its border."""
    low, high = margin - 0.5, np.array([size[1], size[0]]) - 0.5 - margin
    return np.all(points > low, axis=1) & np.all(points < high, axis=1)


def warp(image: Tensor, matrix: np.ndarray, size: tuple[int, int]) -> Tensor:
    """See an image on another canvas; beyond its border the border's values go on.

    Args:
        image: (1, 1, H, W).
        matrix: from pixels of the canvas to those of the image.
        size: (height, width) of the canvas.
    """
    factor = mean_scale(matrix)
    if factor > _ALIASES:
        height, width = image.shape[-2:]
        smaller = max(8, round(height / factor)), max(8, round(width / factor))
        image = resize(image, smaller, "bilinear")
        matrix = scaling(smaller[1] / width, smaller[0] / height) @ matrix
    height, width = image.shape[-2:]
    to_grid = scaling(2 / width, 2 / height)
    to_grid[:2, 2] = 1 / width - 1, 1 / height - 1
    from_grid = scaling(size[1] / 2, size[0] / 2)
    from_grid[:2, 2] = size[1] / 2 - 0.5, size[0] / 2 - 0.5
    theta = torch.from_numpy((to_grid @ matrix @ from_grid)[None, :2]).to(image)
    grid = F.affine_grid(theta, [1, 1, *size], align_corners=False)
    return F.grid_sample(image, grid, padding_mode="border", align_corners=False)
