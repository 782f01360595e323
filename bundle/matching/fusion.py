"""Fuse local features with the global features of the same region: F_i^F (paper, section 2.1)."""

from __future__ import annotations

import torch
from torch import Tensor

from bundle.geometry import PixelCentres, Size, cell_grid, sample_map
from bundle.matching.descriptors import normalise_channels


def fuse(local: Tensor, global_map: Tensor, origin: Tensor, image_size: Size) -> Tensor:
    """Normalised local features plus normalised global features, the latter upsampled to the full image.

    Only the crop's part of the upsampled map is ever computed: bilinear upsampling is sampling.

    Args:
        local: (C, h, w), local features of a crop at full resolution.
        global_map: (C, H', W'), global features of the whole image, of length one at every position.
        origin: (2,), pixel ``(x, y)`` of the image at the crop's first pixel.
        image_size: (height, width) in pixels of the whole image.

    Returns:
        tensor of shape (C, h, w).
    """
    _, height, width = local.shape
    pixels = cell_grid((height, width), dtype=local.dtype, device=local.device) + origin
    map_size = (global_map.shape[-2], global_map.shape[-1])
    cells = PixelCentres().to_cells(pixels, image_size, map_size)
    context = sample_map(global_map, cells).T.reshape(-1, height, width)
    return normalise_channels(local) + context


def sample_scores(scores: Tensor, cells: Tensor) -> Tensor:
    """Read each landmark's map of scores between its cells, bicubically.

    Args:
        scores: (N, rows, columns).
        cells: (N, h, w, 2), cell coordinates ``(x, y)``.

    Returns:
        tensor of shape (N, h, w); beyond the map the border's value holds.
    """
    rows, columns = scores.shape[-2:]
    scale = torch.tensor([2.0 / columns, 2.0 / rows], dtype=scores.dtype, device=scores.device)
    grid = (cells + 0.5) * scale - 1.0
    sampled = torch.nn.functional.grid_sample(
        scores[:, None], grid, mode="bicubic", padding_mode="border", align_corners=False
    )
    return sampled[:, 0]
