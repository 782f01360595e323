"""The global feature decoder D_G (paper, section 2.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bundle.geometry import bilinear_matrix
from bundle.networks.log_binning import LogBinning, NoBinning


class GlobalDecoder(nn.Module):
    """Upsample the encoder's (binned) map to the size of the input, then one 3x3 convolution.

    Args:
        in_channels: channels of the encoder's map.
        channels: channels of the decoded features; 256 in the paper.
        binning: what puts each token's surroundings beside it; None for nothing.
    """

    def __init__(self, in_channels: int, channels: int = 256, binning: LogBinning | NoBinning | None = None) -> None:
        super().__init__()
        self.channels = channels
        self.binning = NoBinning() if binning is None else binning
        self.conv = nn.Conv2d(in_channels * self.binning.bins, channels, kernel_size=3, padding=1)

    def forward(self, features: Tensor, size: tuple[int, int]) -> Tensor:
        """Decode a feature map.

        Upsampling and convolution are linear, so they may change places: each of the nine taps is one matrix on the
        small map, whose result is upsampled, shifted by the tap's offset and added. That costs (H W) / (h w) times
        fewer multiplications and is equal up to the order of the additions. Bilinear upsampling works on columns and
        rows one after the other, so the shifts and the sum are part of two matrix products.

        Args:
            features: tensor of shape (B, in_channels, h, w).
            size: (H, W) of the result.

        Returns:
            tensor of shape (B, channels, H, W).
        """
        batch, _, rows, columns = features.shape
        assert self.conv.bias is not None
        taps = self.conv.weight.permute(2, 3, 0, 1).flatten(0, 2)
        mapped = self.binning.linear(features, taps).view(batch, 3, 3, self.channels, rows, columns)
        across, down = _shifted_upsampling(columns, size[1], features), _shifted_upsampling(rows, size[0], features)
        # Each step drops the map before it: at the end the result alone is as large as all of them.
        mapped = mapped.permute(0, 1, 3, 4, 2, 5).reshape(batch, 3, self.channels, rows, 3 * columns)
        mapped = mapped @ across.T
        mapped = mapped.transpose(1, 2).reshape(batch, self.channels, 3 * rows, size[1])
        decoded = down @ mapped
        return decoded.add_(self.conv.bias[:, None, None])


def _shifted_upsampling(old: int, new: int, like: Tensor) -> Tensor:
    """Upsampling along one axis, once for each tap, which reads one cell before, at and after: (new, 3 * old).

    The convolution reads zeros outside the upsampled map.
    """
    matrices = []
    for offset in (-1, 0, 1):
        read = torch.arange(new, dtype=torch.float64) + offset
        matrix = bilinear_matrix((read + 0.5) * (old / new) - 0.5, old)
        matrices.append(matrix * ((read >= 0) & (read < new))[:, None])
    return torch.cat(matrices, dim=1).to(like)
