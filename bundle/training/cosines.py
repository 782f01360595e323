"""Cosines between some cells of a map and all its cells, with a gradient that makes one map and no more."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

#: Of a vector of features; shorter ones are as good as zero.
SMALLEST_LENGTH = 1e-12


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
