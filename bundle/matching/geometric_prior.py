"""Where the template's layout expects each landmark: a weak prior from a robust affine fit."""

from __future__ import annotations

import torch
from torch import Tensor

from bundle.geometry import Size


def robust_affine(source: Tensor, target: Tensor, scale: float, *, ridge: float, iterations: int = 20) -> Tensor:
    """Fit an affine map that few wrong matches cannot turn away (iteratively reweighted least squares, Cauchy weights).

    The fit is drawn by a ridge towards the best similarity-free placement (scale and shift of the same layout), so
    three or fewer landmarks, or landmarks on one line, are no special case.

    Args:
        source: (N, 2), points ``(x, y)`` of the template.
        target: (N, 2), their matches on the query.
        scale: residual in pixels of the query at which a match counts half.
        ridge: weight of the pull towards the undeformed layout, relative to the layout's variance; more than 0.
        iterations: how often the weights are renewed.

    Returns:
        tensor of shape (3, 2): ``[x, y, 1] @ result`` is the expected place on the query.
    """
    dtype = torch.float64
    source, target = source.to(dtype), target.to(dtype)
    weights = torch.ones(len(source), dtype=dtype, device=source.device)
    affine = torch.zeros(3, 2, dtype=dtype, device=source.device)
    for _ in range(iterations):
        share = weights / weights.sum()
        centre_s, centre_t = share @ source, share @ target
        around_s, around_t = source - centre_s, target - centre_t
        variance = (share @ around_s.square().sum(dim=1)).clamp(min=1e-9)
        zoom = torch.clamp((share @ (around_s * around_t).sum(dim=1)) / variance, min=0.2, max=5.0)
        pull = ridge * variance * torch.eye(2, dtype=dtype, device=source.device)
        normal = around_s.T @ (share[:, None] * around_s) + pull
        linear = torch.linalg.solve(normal, around_s.T @ (share[:, None] * around_t) + pull * zoom)
        affine = torch.cat([linear, (centre_t - centre_s @ linear)[None]])
        residual = (apply_affine(affine, source) - target).norm(dim=1)
        weights = 1.0 / (1.0 + (residual / scale).square())
    return affine


def apply_affine(affine: Tensor, points: Tensor) -> Tensor:
    """Map points ``(x, y)`` of shape (N, 2) by an affine map of shape (3, 2)."""
    return points.to(affine.dtype) @ affine[:2] + affine[2]


def log_prior(expected: Tensor, sigma: float, weight: float, grid: Size) -> Tensor:
    """A quadratic penalty on the distance from the expected place.

    Args:
        expected: (N, 2), expected places as cells ``(x, y)`` of the grid.
        sigma: distance in cells at which the penalty is ``weight``.
        weight: penalty, in units of cosine similarity, at the distance ``sigma``.
        grid: (rows, columns).

    Returns:
        tensor of shape (N, rows, columns), at most 0.
    """
    rows, columns = grid
    dtype, device = torch.float32, expected.device
    x, y = expected.to(dtype).unbind(dim=1)
    dx = (torch.arange(columns, dtype=dtype, device=device) - x[:, None]).square()
    dy = (torch.arange(rows, dtype=dtype, device=device) - y[:, None]).square()
    return -weight / sigma**2 * (dy[:, :, None] + dx[:, None, :])
