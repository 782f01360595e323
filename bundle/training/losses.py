"""Losses that train the decoders: the paper's (section 2.1), and those that it is compared with (section 3)."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bundle.errors import ConfigError
from bundle.geometry import Size, cell_grid

#: Of a vector of features; shorter ones are as good as zero.
SMALLEST_LENGTH = 1e-12


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
        rows, columns = features.shape[-2:]
        nearest = torch.nan_to_num(cells, nan=-1.0).round().long()
        last = torch.tensor([columns - 1, rows - 1], device=cells.device)
        inside = ((nearest >= 0) & (nearest <= last)).all(dim=-1)
        column, row = nearest.clamp(min=0).minimum(last).unbind(dim=-1)
        own = row * columns + column
        errors = self.of_each(cosines(features, own), own, (rows, columns))
        return (errors * inside).sum() / inside.sum().clamp(min=1)

    @abstractmethod
    def of_each(self, similarity: Tensor, own: Tensor, size: Size) -> Tensor:
        """The loss of each landmark.

        Args:
            similarity: ``S_i = cos(F, F(x_i, y_i))``, (B, N, h * w), the map row by row.
            own: the number of each landmark's own cell in it, (B, N).
            size: (h, w).

        Returns:
            tensor of shape (B, N).
        """


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

    def of_each(self, similarity: Tensor, own: Tensor, size: Size) -> Tensor:
        """The squared difference from the Gaussian."""
        grid = cell_grid(size, dtype=similarity.dtype, device=similarity.device)
        squared = (grid - grid[own][:, :, None]).square().sum(dim=-1)
        target = torch.exp(-squared / (2 * self.sigma**2))
        return (similarity - target).square().mean(dim=-1)


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

    def of_each(self, similarity: Tensor, own: Tensor, size: Size) -> Tensor:
        """The cross-entropy with the landmark's own position."""
        scores = similarity / self.temperature
        return torch.logsumexp(scores, dim=-1) - scores.gather(-1, own[..., None])[..., 0]


class OneHotSimilarityLoss(SimilarityLoss):
    """Mean squared error between each similarity map and 1 at its landmark, 0 elsewhere (paper, figure 3)."""

    def of_each(self, similarity: Tensor, own: Tensor, size: Size) -> Tensor:
        """The squared difference from 1 at the landmark, 0 elsewhere."""
        target = torch.zeros_like(similarity).scatter_(-1, own[..., None], 1.0)
        return (similarity - target).square().mean(dim=-1)


def cosines(features: Tensor, own: Tensor) -> Tensor:
    """The cosine between each of some cells of a map and every cell of that map; differentiable once.

    With ``u_n`` the vector of cell n at length one, ``l_p`` the length of ``x_p``, and ``g`` the gradient of the
    cosines ``s_np = u_n x_p / l_p``, the gradient of the map is

        ``sum_n (g_np / l_p) u_n - (sum_n g_np s_np / l_p^2) x_p``,

    and at the cells n themselves that of ``u_n`` besides, ``sum_p (g_np / l_p) x_p``, without its part along ``u_n``
    and divided by the cell's length. No normalised map is ever made, and the gradient has the features' order in
    memory, so that nobody has to turn it over.

    Args:
        features: (B, C, h, w).
        own: numbers of the cells, ``row * w + column``, of shape (B, N).

    Returns:
        tensor of shape (B, N, h * w), the map row by row.
    """
    return _Cosines.apply(features, own)


class _Cosines(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, own: Tensor) -> Tensor:
        cells = features.flatten(2)
        vectors = cells.gather(2, own[:, None].expand(-1, features.shape[1], -1))
        units = F.normalize(vectors, dim=1, eps=SMALLEST_LENGTH)
        lengths = torch.linalg.vector_norm(cells, dim=1, keepdim=True)
        similarity = torch.bmm(units.transpose(1, 2), cells).div_(lengths.clamp(min=SMALLEST_LENGTH))
        ctx.save_for_backward(features, own, vectors, lengths, similarity)
        return similarity

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None]:
        features, own, vectors, lengths, similarity = ctx.saved_tensors
        cells = features.flatten(2)
        clamped = lengths.clamp(min=SMALLEST_LENGTH)
        own_lengths = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        units = vectors / own_lengths.clamp(min=SMALLEST_LENGTH)
        of_products = gradients[0] / clamped
        # A length that was clamped does not depend on its vector.
        along = (gradients[0] * similarity).sum(dim=1, keepdim=True) / clamped.square()
        along = along.neg_().masked_fill_(lengths < SMALLEST_LENGTH, 0.0)

        of_units = torch.bmm(of_products, cells.transpose(1, 2)).transpose(1, 2)
        inward = torch.where(own_lengths < SMALLEST_LENGTH, 0.0, (of_units * units).sum(dim=1, keepdim=True))
        of_vectors = (of_units - inward * units) / own_lengths.clamp(min=SMALLEST_LENGTH)

        result = torch.empty_like(features)  # keeps the order in memory
        of_cells = result.flatten(2)
        torch.mul(cells, along, out=of_cells)
        if of_cells.stride(1) == 1:
            of_cells.transpose(1, 2).baddbmm_(of_products.transpose(1, 2), units.transpose(1, 2))
        else:
            of_cells.baddbmm_(units, of_products)
        of_cells.scatter_add_(2, own[:, None].expand(-1, features.shape[1], -1), of_vectors)
        return result, None
