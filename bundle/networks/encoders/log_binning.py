"""Log-binning: each token sees its surroundings (not in the paper; Amir et al., "Deep ViT features", 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_WINDOW = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
_RING = [offset for offset in _WINDOW if offset != (0, 0)]

#: Descriptors that are concatenated for one token: itself, 8 at distance 1, and 8 averages at distance 3.
LOG_BINS = len(_WINDOW) + len(_RING)


class LogBinning(nn.Module):
    """Concatenate each token's descriptor with those around it, on two levels of a logarithmic scale.

    Level 0: the 3x3 window at distance 1, row by row. Level 1: the 3x3 average of the map (padding not counted) at the
    eight neighbours at distance 3, row by row. Positions outside the map are clamped to its border.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Bin a feature map.

        Args:
            features: tensor of shape (B, C, h, w).

        Returns:
            tensor of shape (B, 17 * C, h, w); channels ordered by bin, then by C.
        """
        _, _, rows, columns = features.shape
        averages = F.avg_pool2d(features, kernel_size=3, stride=1, padding=1, count_include_pad=False)
        near = F.pad(features, (1, 1, 1, 1), mode="replicate")
        far = F.pad(averages, (3, 3, 3, 3), mode="replicate")
        bins = [near[..., 1 + dy : 1 + dy + rows, 1 + dx : 1 + dx + columns] for dy, dx in _WINDOW]
        bins += [far[..., 3 + 3 * dy : 3 + 3 * dy + rows, 3 + 3 * dx : 3 + 3 * dx + columns] for dy, dx in _RING]
        return torch.cat(bins, dim=1)
