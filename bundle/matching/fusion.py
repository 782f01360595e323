"""Fuse local features with the global features of the same region: F_i^F (paper, section 2.1)."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from bundle.geometry import Size, bilinear_matrix, sample_maps
from bundle.matching.descriptors import normalise_channels


def fuse(local: Tensor, global_map: Tensor, origins: Tensor, image_size: Size) -> Tensor:
    """Normalised local features plus global features that are upsampled to the full image and then normalised.

    Only the crops' part of the upsampled map is ever computed, from the few cells below each crop.

    Args:
        local: (N, C, h, w), local features of crops of one size at full resolution.
        global_map: (C, H', W'), global features of the whole image, not normalised.
        origins: (N, 2), pixel ``(x, y)`` of the image at each crop's first pixel.
        image_size: (height, width) in pixels of the whole image.

    Returns:
        tensor of shape (N, C, h, w), channels last in memory.
    """
    _, _, height, width = local.shape
    rows, down = _cells_below(origins[:, 1], height, global_map.shape[-2], image_size[0], local)
    columns, across = _cells_below(origins[:, 0], width, global_map.shape[-1], image_size[1], local)
    block = global_map.permute(1, 2, 0)[rows[:, :, None], columns[:, None, :]]  # (N, r, c, C)
    tall = (down @ block.flatten(2)).unflatten(-1, block.shape[2:])
    context = across[:, None] @ tall
    return normalise_channels(local).add_(F.normalize(context, dim=-1, out=context).permute(0, 3, 1, 2))


def _cells_below(origin: Tensor, pixels: int, cells: int, image_side: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Along one axis, the cells that crops lie on, (N, r), and the matrices that upsample them, (N, pixels, r)."""
    ratio = cells / image_side
    count = min(cells, math.ceil(pixels * ratio) + 2)
    offsets = torch.arange(pixels, dtype=torch.float64, device=origin.device)
    positions = ((origin.double()[:, None] + offsets + 0.5) * ratio - 0.5).clamp(0, cells - 1)
    first = positions[:, :1].floor().clamp(max=cells - count)
    below = first.long() + torch.arange(count, device=origin.device)
    return below, bilinear_matrix(positions - first, count).to(like)


def sample_scores(scores: Tensor, cells: Tensor) -> Tensor:
    """Read each landmark's map of scores between its cells, bicubically.

    Args:
        scores: (N, rows, columns).
        cells: (N, h, w, 2), cell coordinates ``(x, y)``.

    Returns:
        tensor of shape (N, h, w); beyond the map the border's value holds.
    """
    return sample_maps(scores[:, None], cells, "bicubic")[:, 0]
