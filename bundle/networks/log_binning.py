"""Log-binning: each token sees its surroundings (not in the paper; Amir et al., "Deep ViT features", 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bundle.networks.winograd import convolve

_WINDOW = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
_RING = [offset for offset in _WINDOW if offset != (0, 0)]
_CENTRE = _WINDOW.index((0, 0))

#: Descriptors that are concatenated for one token: itself, 8 at distance 1, and 8 averages at distance 3.
LOG_BINS = len(_WINDOW) + len(_RING)


class LogBinning(nn.Module):
    """Concatenate each token's descriptor with those around it, on two levels of a logarithmic scale.

    Level 0: the 3x3 window at distance 1, row by row. Level 1: the 3x3 average of the map (padding not counted) at the
    eight neighbours at distance 3, row by row. Positions outside the map are clamped to its border.
    """

    bins = LOG_BINS

    def forward(self, features: Tensor) -> Tensor:
        """Bin a feature map.

        Args:
            features: tensor of shape (B, C, h, w).

        Returns:
            tensor of shape (B, 17 * C, h, w); channels ordered by bin, then by C.
        """
        _, _, rows, columns = features.shape
        near = F.pad(features, (1, 1, 1, 1), mode="replicate")
        far = F.pad(_averages(features), (3, 3, 3, 3), mode="replicate")
        bins = [near[..., 1 + dy : 1 + dy + rows, 1 + dx : 1 + dx + columns] for dy, dx in _WINDOW]
        bins += [far[..., 3 + 3 * dy : 3 + 3 * dy + rows, 3 + 3 * dx : 3 + 3 * dx + columns] for dy, dx in _RING]
        return torch.cat(bins, dim=1)

    def linear(self, features: Tensor, weight: Tensor) -> Tensor:
        """One matrix applied to every binned descriptor, without the 17-fold map.

        What stands in the bins are shifted copies of two maps, so binning and matrix together are two 3x3 convolutions:
        one of the map, and one with gaps of three cells of its averages.

        Args:
            features: tensor of shape (B, C, h, w).
            weight: (O, 17 * C).

        Returns:
            tensor of shape (B, O, h, w): ``weight`` times :meth:`forward` at every cell.
        """
        near, far = self._kernels(weight)
        padded = F.pad(features, (1, 1, 1, 1), mode="replicate")
        averages = F.pad(_averages(features), (3, 3, 3, 3), mode="replicate")
        return convolve(padded, near) + convolve(averages, far, dilation=3)

    @staticmethod
    def _kernels(weight: Tensor) -> tuple[Tensor, Tensor]:
        """The matrix as two kernels of shape (O, C, 3, 3), (3, 3, C, O) in memory; the middle of the second is empty.

        Both kernels are views of what is copied once, and so are their gradients.
        """
        by_bin = weight.view(len(weight), LOG_BINS, -1).permute(1, 2, 0).contiguous()
        near, before, after = by_bin.split([len(_WINDOW), _CENTRE, len(_RING) - _CENTRE])
        far = torch.cat([before, torch.zeros_like(before[:1]), after])
        return near.unflatten(0, (3, 3)).permute(3, 2, 0, 1), far.unflatten(0, (3, 3)).permute(3, 2, 0, 1)


class NoBinning(nn.Module):
    """Each token's descriptor alone: what stands where :class:`LogBinning` is not wanted."""

    bins = 1

    def forward(self, features: Tensor) -> Tensor:
        """The map as it is."""
        return features

    def linear(self, features: Tensor, weight: Tensor) -> Tensor:
        """One matrix, (O, C), applied to every descriptor: (B, C, h, w) -> (B, O, h, w)."""
        return F.conv2d(features, weight[..., None, None])


def _averages(features: Tensor) -> Tensor:
    return F.avg_pool2d(features, kernel_size=3, stride=1, padding=1, count_include_pad=False)
