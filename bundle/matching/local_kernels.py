"""Match each landmark within its own crop: as many maps as landmarks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bundle.geometry import sample_maps


def kernels_at(maps: Tensor, cells: Tensor, patch: int) -> Tensor:
    """The patch of descriptors around one point per map.

    Args:
        maps: (N, C, h, w), descriptors of length one.
        cells: (N, 2), a cell ``(x, y)`` of each map.
        patch: side of the patch in cells, odd.

    Returns:
        tensor of shape (N, C, patch, patch), sampled bilinearly between the cells.
    """
    reach = patch // 2
    offset = torch.arange(-reach, reach + 1, dtype=maps.dtype, device=maps.device)
    ys, xs = torch.meshgrid(offset, offset, indexing="ij")
    return sample_maps(maps, cells.to(maps.dtype)[:, None, None] + torch.stack([xs, ys], dim=-1))


def kernel_similarity(maps: Tensor, kernels: Tensor, side: int) -> Tensor:
    """Similarity of every place of each map to that map's own landmark.

    Args:
        maps: (N, C, h, w), descriptors of length one.
        kernels: (N, C, patch, patch), what :func:`kernels_at` gave.
        side: side in cells of the result.

    Returns:
        tensor of shape (N, side, side), cosine similarity averaged over the patch.
    """
    count, channels, rows, _ = maps.shape
    reach = kernels.shape[-1] // 2
    padded = F.pad(maps, (reach,) * 4, mode="replicate").reshape(1, count * channels, rows + 2 * reach, -1)
    similarity = F.conv2d(padded, kernels, groups=count) / kernels.shape[-1] ** 2
    return F.interpolate(similarity, size=(side, side), mode="bicubic", align_corners=False)[0]
