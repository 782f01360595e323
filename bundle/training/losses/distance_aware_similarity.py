"""The distance-aware similarity learning loss (paper, section 2.1, equation 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bundle.errors import ConfigError
from bundle.geometry import cell_grid
from bundle.training.losses.similarity_maps import similarity_maps


class DistanceAwareSimilarityLoss(nn.Module):
    """Mean squared error between each landmark's similarity map and a Gaussian of height 1 around it.

    The similarity map is ``S_i = cos(F, F(x_i, y_i))``, the target ``Y_i = exp(-d^2 / (2 sigma^2))`` with the distance
    ``d`` in cells of the map, and the loss the mean of ``MSE(S_i, Y_i)`` over the landmarks.

    Args:
        sigma: standard deviation of the Gaussian in cells of the decoded map; the paper has 5 (global) and 2 (local)
            for heads, 8 for hands.

    Raises:
        ConfigError: when sigma is not positive.
    """

    def __init__(self, sigma: float) -> None:
        super().__init__()
        if not sigma > 0:
            raise ConfigError(f"sigma is {sigma}, expected a positive number of cells of the feature map.")
        self.sigma = float(sigma)

    def forward(self, features: Tensor, cells: Tensor) -> Tensor:
        """Compare similarity maps with their targets.

        Args:
            features: decoded features of shape (B, C, h, w).
            cells: landmarks as cell coordinates ``(x, y)`` of shape (B, N, 2); those whose cell is off the map (a warp
                moved them out) are left out, as are rows of NaN.

        Returns:
            scalar: the mean over the landmarks on the map; zero (with a gradient) when there is none.
        """
        _, _, rows, columns = features.shape
        maps = similarity_maps(features, cells)
        grid = cell_grid((rows, columns), dtype=features.dtype, device=features.device)
        centres = torch.stack([maps.column, maps.row], dim=-1).to(features.dtype)
        squared = (grid[None, None] - centres[:, :, None]).square().sum(dim=-1)
        target = torch.exp(-squared / (2 * self.sigma**2))
        return maps.mean_over_landmarks((maps.similarity - target).square().mean(dim=-1))
