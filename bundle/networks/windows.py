"""Cut local regions out of an image (paper, section 2.1, "fine stage")."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Windows(NamedTuple):
    """Square windows of one size.

    Attributes:
        crops: (N, 1, S, S).
        origins: (N, 2), position ``(x, y)`` on the image of each crop's first pixel; may lie outside it.
    """

    crops: Tensor
    origins: Tensor


def padded_windows(image: Tensor, centres: Tensor, side: int) -> Windows:
    """Windows around points, all of the same size: beyond the image its border is repeated.

    Args:
        image: (1, H, W).
        centres: (N, 2), pixels ``(x, y)``; rounded to whole pixels.
        side: side S of the windows in pixels.
    """
    _, height, width = image.shape
    reach = side // 2
    last = torch.tensor([width - 1, height - 1], device=centres.device)
    origins = centres.round().long().clamp(min=0).minimum(last) - reach
    padded = F.pad(image[None], (reach, side, reach, side), mode="replicate")[0]
    crops = [padded[:, y + reach : y + reach + side, x + reach : x + reach + side] for x, y in origins.tolist()]
    return Windows(torch.stack(crops), origins.to(centres.dtype))


def inner_windows(image: Tensor, centres: Tensor, side: int) -> Windows:
    """Windows around points, moved inside the image where they would reach over its border.

    Arguments and result are those of :func:`padded_windows`, which fills an image that is smaller than a window.
    """
    _, height, width = image.shape
    first = centres.new_full((2,), side // 2)
    last = centres.new_tensor([width - side, height - side]) + first
    return padded_windows(image, centres.round().minimum(last).maximum(first), side)


def clipped_windows(image: Tensor, centres: Tensor, side: int) -> list[Windows]:
    """The paper's window ``[x - side/2, x + side/2)`` around each point, smaller where the image ends.

    Args:
        image: (1, H, W).
        centres: (N, 2), pixels ``(x, y)``; cut off to whole pixels.
        side: side in pixels of a window that is not clipped; where it is odd, the point is its middle.

    Returns:
        one window a point, whose crop may have two different sides.
    """
    _, height, width = image.shape
    windows = []
    for x, y in centres.trunc().long().tolist():
        left, top = max(0, x - side // 2), max(0, y - side // 2)
        crop = image[:, top : min(height, y - side // 2 + side), left : min(width, x - side // 2 + side)]
        origin = torch.tensor([[left, top]], dtype=centres.dtype, device=centres.device)
        windows.append(Windows(crop[None], origin))
    return windows
