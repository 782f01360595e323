"""Cross-entropy over positions: a landmark's feature on one warp must find the landmark on another."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bundle.errors import ConfigError
from bundle.geometry import cell_grid


class SimilarityCrossEntropyLoss(nn.Module):
    """Cross-entropy between the softmax of a similarity map and a narrow Gaussian around the landmark.

    Not in the paper. Where the paper compares each landmark's feature with the map it was taken from, here it is taken
    from the next warp of the batch, so that the decoder learns what stays the same under the warps.

    Args:
        sigma: standard deviation of the Gaussian target in cells.
        temperature: cosine similarity that makes a factor of e.
        group: rows of the batch that belong to one warp: the number of landmarks where each row is a crop.

    Raises:
        ConfigError: when sigma, temperature or group is not positive.
    """

    def __init__(self, sigma: float, temperature: float, group: int) -> None:
        super().__init__()
        if not (sigma > 0 and temperature > 0 and group > 0):
            raise ConfigError(f"sigma {sigma}, temperature {temperature} and group {group} must be positive.")
        self.sigma = float(sigma)
        self.temperature = float(temperature)
        self.group = int(group)

    def forward(self, features: Tensor, cells: Tensor) -> Tensor:
        """Compare.

        Args:
            features: decoded features of shape (B, C, h, w).
            cells: landmarks as cell coordinates ``(x, y)`` of shape (B, 1, 2); one outside its map is left out.

        Returns:
            scalar.
        """
        _, channels, rows, columns = features.shape
        cells = cells[:, 0]
        last = torch.tensor([columns - 1, rows - 1], dtype=cells.dtype, device=cells.device)
        inside = ((cells >= 0) & (cells <= last)).all(dim=-1)
        normalised = F.normalize(features, dim=1)
        grid = ((cells + 0.5) / (last + 1) * 2 - 1)[:, None, None]
        own = F.grid_sample(normalised, grid, padding_mode="border", align_corners=False)[:, :, 0, 0]
        anchor, usable = F.normalize(own, dim=1).roll(self.group, dims=0), inside & inside.roll(self.group, dims=0)
        logits = (anchor[:, None] @ normalised.reshape(-1, channels, rows * columns))[:, 0] / self.temperature
        squared = (cell_grid((rows, columns), dtype=features.dtype, device=features.device) - cells[:, None]).square()
        target = torch.softmax(-squared.sum(dim=-1) / (2 * self.sigma**2), dim=-1)
        losses = -(target * torch.log_softmax(logits, dim=-1)).sum(dim=-1)
        return (losses * usable).sum() / usable.sum().clamp(min=1)
