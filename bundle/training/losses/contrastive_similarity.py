"""The contrastive loss that the paper compares its loss with (paper, section 3, figure 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bundle.errors import ConfigError
from bundle.training.losses.similarity_maps import similarity_maps


class ContrastiveSimilarityLoss(nn.Module):
    """Cross-entropy that sets each landmark apart from all other positions of its map.

    Over the similarity map ``S_i`` the loss is ``-log(exp(S_i(x_i, y_i) / t) / sum exp(S_i / t))``: the landmark is the
    positive sample, every other position of the map a negative one.

    Args:
        temperature: ``t``; the paper names none, 0.1 is usual for cosine similarities.

    Raises:
        ConfigError: when the temperature is not positive.
    """

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        if not temperature > 0:
            raise ConfigError(f"temperature is {temperature}, expected a positive number such as 0.1.")
        self.temperature = float(temperature)

    def forward(self, features: Tensor, cells: Tensor) -> Tensor:
        """Tell landmarks from the rest of the map.

        Args:
            features: decoded features of shape (B, C, h, w).
            cells: landmarks as cell coordinates ``(x, y)`` of shape (B, N, 2); those off the map and rows of NaN are
                left out.

        Returns:
            scalar: the mean over the landmarks on the map; zero (with a gradient) when there is none.
        """
        maps = similarity_maps(features, cells)
        scores = maps.similarity / self.temperature
        own = scores.gather(-1, maps.cell[..., None])[..., 0]
        return maps.mean_over_landmarks(torch.logsumexp(scores, dim=-1) - own)
