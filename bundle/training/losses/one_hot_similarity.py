"""The 0/1 map that the paper compares its loss with (paper, section 3, figure 3)."""

from __future__ import annotations

from torch import Tensor, nn

from bundle.training.losses.similarity_maps import similarity_maps


class OneHotSimilarityLoss(nn.Module):
    """Mean squared error between each landmark's similarity map and a map of 1 at the landmark and 0 elsewhere."""

    def forward(self, features: Tensor, cells: Tensor) -> Tensor:
        """Compare similarity maps with their targets.

        Args:
            features: decoded features of shape (B, C, h, w).
            cells: landmarks as cell coordinates ``(x, y)`` of shape (B, N, 2); those off the map and rows of NaN are
                left out.

        Returns:
            scalar: the mean over the landmarks on the map; zero (with a gradient) when there is none.
        """
        maps = similarity_maps(features, cells)
        target = maps.similarity.new_zeros(maps.similarity.shape).scatter_(-1, maps.cell[..., None], 1.0)
        return maps.mean_over_landmarks((maps.similarity - target).square().mean(dim=-1))
