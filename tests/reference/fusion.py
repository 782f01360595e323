"""Step 5: the crop around a coarse point, and the fused features F_i^F (paper, section 2.1, "fine stage")."""

import math

import torch
from torch import Tensor


def clipped_crop(image: Tensor, x: int, y: int, side: int) -> tuple[Tensor, int, int]:
    """The window ``[y - side/2, y + side/2) x [x - side/2, x + side/2)`` of (H, W), clipped; and its left and top."""
    height, width = image.shape
    rows = [row for row in range(y - side // 2, y + side // 2) if 0 <= row < height]
    columns = [column for column in range(x - side // 2, x + side // 2) if 0 <= column < width]
    return image[rows][:, columns], columns[0], rows[0]


def unit_length(features: Tensor) -> Tensor:
    """(C, h, w) with every position's vector divided by its length."""
    return features / features.square().sum(dim=0).sqrt()


def upsampled_to_image(features: Tensor, height: int, width: int) -> Tensor:
    """Bilinear upsampling (align_corners False) of (C, h, w) to the whole image, pixel by pixel."""
    channels, rows, columns = features.shape
    result = torch.zeros(channels, height, width).to(features)
    across = [_between(x, width, columns) for x in range(width)]
    for y in range(height):
        above, below, down = _between(y, height, rows)
        line = features[:, above] * (1 - down) + features[:, below] * down
        for x, (left, right, share) in enumerate(across):
            result[:, y, x] = line[:, left] * (1 - share) + line[:, right] * share
    return result


def _between(pixel: int, pixels: int, cells: int) -> tuple[int, int, float]:
    """The two cells that a pixel's centre lies between, and how far it is on the way to the second."""
    source = max((pixel + 0.5) * cells / pixels - 0.5, 0.0)
    first = min(math.floor(source), cells - 1)
    return first, min(first + 1, cells - 1), source - first


def fused_features(local: Tensor, upsampled_global: Tensor, left: int, top: int) -> Tensor:
    """Normalised local features plus the same region of the global features, upsampled first and then normalised."""
    _, height, width = local.shape
    return unit_length(local) + unit_length(upsampled_global[:, top : top + height, left : left + width])
