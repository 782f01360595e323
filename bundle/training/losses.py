"""Losses that train the decoders: the paper's (section 2.1), and those that it is compared with (section 3)."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn
from typing_extensions import override

from bundle.errors import ConfigError
from bundle.geometry import cell_grid
from bundle.training.cosines import cosines


class SimilarityMaps(NamedTuple):
    """Similarity maps of the landmarks of a batch.

    Attributes:
        similarity: ``S_i = cos(F, F(x_i, y_i))``, shape (B, N, h * w), the map row by row.
        column: each landmark's own cell, whole numbers, shape (B, N).
        row: likewise.
        cell: the number of that cell in the map, ``row * w + column``, shape (B, N).
        inside: whether the landmark lies on the map, shape (B, N); where not, its map means nothing.
    """

    similarity: Tensor
    column: Tensor
    row: Tensor
    cell: Tensor
    inside: Tensor

    def mean_over_landmarks(self, errors: Tensor) -> Tensor:
        """The mean of one number per landmark, (B, N), over those on the map; zero (with a gradient) without any."""
        return (errors * self.inside).sum() / self.inside.sum().clamp(min=1)


def similarity_maps(features: Tensor, cells: Tensor) -> SimilarityMaps:
    """Compare the feature of each landmark with all features of its map.

    Args:
        features: decoded features of shape (B, C, h, w).
        cells: landmarks as cell coordinates ``(x, y)`` of shape (B, N, 2); one whose cell is off the map, or of NaN,
            is not inside.
    """
    rows, columns = features.shape[-2:]
    nearest = torch.nan_to_num(cells, nan=-1.0).round().long()
    last = torch.tensor([columns - 1, rows - 1], device=cells.device)
    inside = ((nearest >= 0) & (nearest <= last)).all(dim=-1)
    column, row = nearest.clamp(min=0).minimum(last).unbind(dim=-1)

    cell = row * columns + column
    return SimilarityMaps(cosines(features, cell), column, row, cell, inside)


class SimilarityLoss(nn.Module, ABC):
    """A loss of decoded features: the mean over the landmarks of one number from each landmark's similarity map."""

    def forward(self, features: Tensor, cells: Tensor) -> Tensor:
        """Compare the similarity maps with what they should be.

        Args:
            features: decoded features of shape (B, C, h, w).
            cells: landmarks as cell coordinates ``(x, y)`` of shape (B, N, 2); those whose cell is off the map (a warp
                moved them out) are left out, as are rows of NaN.

        Returns:
            scalar: the mean over the landmarks on the map; zero (with a gradient) when there is none.
        """
        maps = similarity_maps(features, cells)
        return maps.mean_over_landmarks(self.of_each(maps, features))

    @abstractmethod
    def of_each(self, maps: SimilarityMaps, features: Tensor) -> Tensor:
        """The loss of each landmark, (B, N), from the maps of features (B, C, h, w)."""


class DistanceAwareSimilarityLoss(SimilarityLoss):
    """Mean squared error between each similarity map and a Gaussian of height 1 around its landmark (equation 1).

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

    @override
    def of_each(self, maps: SimilarityMaps, features: Tensor) -> Tensor:
        _, _, rows, columns = features.shape
        grid = cell_grid((rows, columns), dtype=features.dtype, device=features.device)
        centres = torch.stack([maps.column, maps.row], dim=-1).to(features.dtype)
        squared = (grid[None, None] - centres[:, :, None]).square().sum(dim=-1)
        target = torch.exp(-squared / (2 * self.sigma**2))
        return (maps.similarity - target).square().mean(dim=-1)


class ContrastiveSimilarityLoss(SimilarityLoss):
    """Cross-entropy that sets each landmark apart from all other positions of its map (paper, figure 3).

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

    @override
    def of_each(self, maps: SimilarityMaps, features: Tensor) -> Tensor:
        scores = maps.similarity / self.temperature
        own = scores.gather(-1, maps.cell[..., None])[..., 0]
        return torch.logsumexp(scores, dim=-1) - own


class OneHotSimilarityLoss(SimilarityLoss):
    """Mean squared error between each similarity map and 1 at its landmark, 0 elsewhere (paper, figure 3)."""

    @override
    def of_each(self, maps: SimilarityMaps, features: Tensor) -> Tensor:
        target = maps.similarity.new_zeros(maps.similarity.shape).scatter_(-1, maps.cell[..., None], 1.0)
        return (maps.similarity - target).square().mean(dim=-1)
