"""The local feature decoder D_L (paper, section 2.1)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class LocalDecoder(nn.Module):
    """Two transposed convolutions, bilinear upsampling to the crop's size, and one 5x5 convolution.

    Args:
        in_channels: channels of the encoder's (log-binned) map.
        channels: channels of the decoded features; 256 in the paper.
    """

    def __init__(self, in_channels: int, channels: int = 256) -> None:
        super().__init__()
        self.channels = channels
        self.up = nn.Sequential(
            nn.ConvTranspose2d(in_channels, channels, kernel_size=2, stride=2),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(channels, channels, kernel_size=2, stride=2),
            nn.ReLU(inplace=True),
        )
        self.conv = nn.Conv2d(channels, channels, kernel_size=5, padding=2)

    def forward(self, features: Tensor, size: tuple[int, int]) -> Tensor:
        """Decode the maps of crops.

        Args:
            features: tensor of shape (B, in_channels, h, w).
            size: (H, W) of the result: that of the crops.

        Returns:
            tensor of shape (B, channels, H, W).
        """
        upsampled = F.interpolate(self.up(features), size=tuple(size), mode="bilinear", align_corners=False)
        return self.conv(upsampled)
