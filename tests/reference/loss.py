"""Training: the distance-aware similarity learning loss (paper, section 2.1, equation 1)."""

import math

from torch import Tensor


def distance_aware_similarity_loss(features: Tensor, landmarks: list[tuple[int, int]], sigma: float) -> float:
    """Equation 1 for one map F, (C, h, w), and the cells ``(x, y)`` of N landmarks on it.

    ``L = 1/N sum_i MSE(S_i, Y_i)``, ``S_i = cos(F, F(x_i, y_i))``, ``Y_i = exp(-d^2 / (2 sigma^2))``.
    """
    total = 0.0
    for x, y in landmarks:
        total += mean_squared_error(features, x, y, sigma)
    return total / len(landmarks)


def mean_squared_error(features: Tensor, x: int, y: int, sigma: float) -> float:
    """MSE(S_i, Y_i) of one landmark."""
    _, rows, columns = features.shape
    own = features[:, y, x]
    squares = 0.0
    for row in range(rows):
        for column in range(columns):
            other = features[:, row, column]
            similarity = float(own @ other / (own.norm() * other.norm()))
            target = math.exp(-((column - x) ** 2 + (row - y) ** 2) / (2 * sigma**2))
            squares += (similarity - target) ** 2
    return squares / (rows * columns)
