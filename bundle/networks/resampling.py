"""Shrinking images to the size at which the encoder works."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from bundle.records.errors import ConfigError

LANCZOS_LOBES = 3


def resize(image: Tensor, size: tuple[int, int], resampling: str) -> Tensor:
    """Resize images with a filter that removes what the smaller grid cannot hold.

    Args:
        image: tensor of shape (B, C, H, W).
        size: (height, width) of the result.
        resampling: ``"bilinear"`` (triangle filter, the default encoder's) or ``"lanczos"`` (the paper's).

    Raises:
        ConfigError: when the filter is unknown.
    """
    if tuple(image.shape[-2:]) == tuple(size):
        return image
    if resampling == "bilinear":
        return F.interpolate(image, size=size, mode="bilinear", align_corners=False, antialias=True)
    if resampling == "lanczos":
        rows = lanczos_matrix(image.shape[-2], size[0]).to(image)
        columns = lanczos_matrix(image.shape[-1], size[1]).to(image)
        return rows @ image @ columns.T
    raise ConfigError(f"resampling is {resampling!r}, expected 'bilinear' or 'lanczos'.")


@lru_cache(maxsize=16)
def lanczos_matrix(old: int, new: int) -> Tensor:
    """The weights of Lanczos resampling along one axis, widened by the factor of reduction.

    Returns:
        tensor of shape (new, old), double precision, rows of sum one.
    """
    ratio = old / new
    support = max(ratio, 1.0)
    centre = (torch.arange(new, dtype=torch.float64)[:, None] + 0.5) * ratio
    distance = (torch.arange(old, dtype=torch.float64)[None] + 0.5 - centre) / support
    weight = torch.sinc(distance) * torch.sinc(distance / LANCZOS_LOBES)
    weight = torch.where(distance.abs() < LANCZOS_LOBES, weight, torch.zeros_like(weight))
    return weight / weight.sum(dim=1, keepdim=True)


def working_size(image_size: tuple[int, int], side: int, which: str) -> tuple[int, int]:
    """The size that an image has when its long or short side is ``side`` pixels and its shape is kept.

    Args:
        image_size: (height, width).
        side: pixels.
        which: ``"long"`` or ``"short"``; for the paper's ``"short"`` the other side is rounded down, as torchvision
            does.

    Raises:
        ConfigError: when ``which`` is something else.
    """
    height, width = image_size
    if which == "long":
        factor = side / max(height, width)
        return max(1, round(height * factor)), max(1, round(width * factor))
    if which == "short":
        if height <= width:
            return side, math.floor(side * width / height)
        return math.floor(side * height / width), side
    raise ConfigError(f"working_side is {which!r}, expected 'long' or 'short'.")
