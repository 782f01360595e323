"""The descriptors of each landmark within its own crop: as many maps as landmarks."""

import torch
from torch import Tensor

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
