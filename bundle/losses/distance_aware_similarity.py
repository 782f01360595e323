"""The distance-aware similarity learning loss (paper, section 2.1, equation 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bundle.errors import ConfigError
from bundle.geometry import cell_grid

#: Of a vector of features; shorter ones are as good as zero.
SMALLEST_LENGTH = 1e-12


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
        nearest = torch.nan_to_num(cells, nan=-1.0).round().long()
        last = torch.tensor([columns - 1, rows - 1], device=cells.device)
        inside = ((nearest >= 0) & (nearest <= last)).all(dim=-1)
        column, row = nearest.clamp(min=0).minimum(last).unbind(dim=-1)

        # The lengths divide the products instead of the features: one large map less, forward and backward.
        cells_in_a_row = features.flatten(2)
        lengths = torch.linalg.vector_norm(cells_in_a_row, dim=1, keepdim=True).clamp(min=SMALLEST_LENGTH)
        own = cells_in_a_row.gather(2, (row * columns + column)[:, None].expand(-1, features.shape[1], -1))
        similarity = torch.bmm(F.normalize(own, dim=1).transpose(1, 2), cells_in_a_row) / lengths

        grid = cell_grid((rows, columns), dtype=features.dtype, device=features.device)
        centres = torch.stack([column, row], dim=-1).to(features.dtype)
        squared = (grid[None, None] - centres[:, :, None]).square().sum(dim=-1)
        target = torch.exp(-squared / (2 * self.sigma**2))
        errors = (similarity - target).square().mean(dim=-1)
        return (errors * inside).sum() / inside.sum().clamp(min=1)
