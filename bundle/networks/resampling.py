"""Shrinking images to the size at which the encoder works."""

import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from bundle.errors import ConfigError


def resize(image: Tensor, size: tuple[int, int], resampling: str) -> Tensor:
    """Resize images with a filter that removes what the smaller grid cannot hold.

    Args:
        image: tensor of shape (B, C, H, W), 0 to 1.
        size: (height, width) of the result.
        resampling: ``"bilinear"`` (triangle filter, the default encoder's) or ``"lanczos"`` (the paper's, on 8 bits).

    Raises:
        ConfigError: when the filter is unknown.
    """
    if tuple(image.shape[-2:]) == tuple(size):
        return image
    if resampling == "bilinear":
        for shape in ((size[0], image.shape[-1]), size):  # down first, where whole rows are added: then few are left
            image = F.interpolate(image, size=shape, mode="bilinear", align_corners=False, antialias=True)
        return image
    if resampling == "lanczos":
        return _lanczos(image, size)
    raise ConfigError(f"resampling is {resampling!r}, expected 'bilinear' or 'lanczos'.")


def _lanczos(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Pillow's Lanczos on 8 bits, as the paper's public code resizes: rounded, and clipped to 0 to 1."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        raise ConfigError(
            "resampling 'lanczos' is Pillow's, which no exported network can hold: use scripts/export_onnx.py, whose "
            "files take images that are resized already."
        )
    height, width = size
    grey = (image.flatten(0, 1) * 255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
    resized = [np.asarray(Image.fromarray(one).resize((width, height), Image.Resampling.LANCZOS)) for one in grey]
    return torch.from_numpy(np.stack(resized)).unflatten(0, image.shape[:2]).to(image) / 255


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
