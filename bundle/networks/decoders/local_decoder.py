"""The local feature decoder D_L (paper, section 2.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bundle.networks.log_binning import LogBinning, NoBinning
from bundle.networks.winograd import convolve


class LocalDecoder(nn.Module):
    """Two transposed convolutions, bilinear upsampling to the crop's size, and one 5x5 convolution.

    Args:
        in_channels: channels of the encoder's map.
        channels: channels of the decoded features; 256 in the paper.
        binning: what puts each token's surroundings beside it; None for nothing.
    """

    def __init__(self, in_channels: int, channels: int = 256, binning: LogBinning | NoBinning | None = None) -> None:
        super().__init__()
        self.channels = channels
        self.binning = NoBinning() if binning is None else binning
        self.up = nn.Sequential(
            nn.ConvTranspose2d(in_channels * self.binning.bins, channels, kernel_size=2, stride=2),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(channels, channels, kernel_size=2, stride=2),
            nn.ReLU(inplace=True),
        )
        self.conv = nn.Conv2d(channels, channels, kernel_size=5, padding=2)

    def forward(self, features: Tensor, size: tuple[int, int], groups: int = 1) -> Tensor:
        """Decode the maps of crops.

        Args:
            features: tensor of shape (B, in_channels, h, w).
            size: (H, W) of the result: that of the crops.
            groups: in training, every ``groups``-th crop is of the same group, and each group has its own batch
                statistics, as if the groups came one after the other.

        Returns:
            tensor of shape (B, channels, H, W), channels last in memory.
        """
        first, norm, relu, second, relu_again = self.up
        cells = _deconvolve(features, first, self.binning)
        if groups > 1 and norm.training:
            by_group = cells.unflatten(0, (-1, groups)).unbind(dim=1)
            normalised = [norm(part.permute(0, 3, 1, 2)).permute(0, 2, 3, 1) for part in by_group]
            upsampled = relu(torch.stack(normalised, dim=1).flatten(0, 1).permute(0, 3, 1, 2))
        else:
            upsampled = relu(norm(cells.permute(0, 3, 1, 2)))
        # Before it is a view: in place on a view, autograd copies the map.
        upsampled = relu_again(_deconvolve(upsampled, second, NoBinning())).permute(0, 3, 1, 2)
        upsampled = F.interpolate(upsampled, size=tuple(size), mode="bilinear", align_corners=False)
        return convolve(upsampled, self.conv.weight, self.conv.bias, padding=2)


def _deconvolve(features: Tensor, layer: nn.Module, binning: LogBinning | NoBinning) -> Tensor:
    """A transposed convolution whose patches of 2x2 do not overlap: one matrix per cell, whose rows become four cells.

    (B, C, h, w) -> (B, 2 h, 2 w, O).
    """
    assert isinstance(layer, nn.ConvTranspose2d) and layer.bias is not None
    batch, _, rows, columns = features.shape
    matrix = layer.weight.permute(2, 3, 1, 0).flatten(0, 2)
    cells = binning.linear(features, matrix).permute(0, 2, 3, 1).reshape(batch, rows, columns, 2, 2, -1)
    spread = cells.transpose(2, 3).reshape(batch, 2 * rows, 2 * columns, -1)
    return spread.add_(layer.bias)
