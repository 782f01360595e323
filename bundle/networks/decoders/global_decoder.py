"""The global feature decoder D_G (paper, section 2.1)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class GlobalDecoder(nn.Module):
    """Upsample the encoder's map to the size of the input, then one 3x3 convolution.

    Args:
        in_channels: channels of the encoder's (log-binned) map.
        channels: channels of the decoded features; 256 in the paper.
    """

    def __init__(self, in_channels: int, channels: int = 256) -> None:
        super().__init__()
        self.channels = channels
        self.conv = nn.Conv2d(in_channels, channels, kernel_size=3, padding=1)

    def forward(self, features: Tensor, size: tuple[int, int]) -> Tensor:
        """Decode a feature map.

        Upsampling and convolution are linear, so they may change places: each of the nine taps is a 1x1 convolution on
        the small map, whose result is upsampled, shifted by the tap's offset and added. That costs (H W) / (h w) times
        fewer multiplications and is equal up to the order of the additions.

        Args:
            features: tensor of shape (B, in_channels, h, w).
            size: (H, W) of the result, at least (h, w).

        Returns:
            tensor of shape (B, channels, H, W).
        """
        if tuple(features.shape[-2:]) == tuple(size):
            return self.conv(features)
        height, width = size
        assert self.conv.bias is not None
        decoded = self.conv.bias.reshape(1, -1, 1, 1).expand(len(features), -1, height, width).clone()
        for row in range(3):
            for column in range(3):
                tap = F.conv2d(features, self.conv.weight[:, :, row : row + 1, column : column + 1])
                tap = F.interpolate(tap, size=(height, width), mode="bilinear", align_corners=False)
                dy, dx = row - 1, column - 1  # the tap reads its input this far from the output; zeros outside
                decoded[..., max(0, -dy) : height - max(0, dy), max(0, -dx) : width - max(0, dx)] += tap[
                    ..., max(0, dy) : height - max(0, -dy), max(0, dx) : width - max(0, -dx)
                ]
        return decoded
