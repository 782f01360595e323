"""The similarity map of each landmark, which all losses are made of (paper, section 2.1)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from bundle.training.losses.cosines import cosines


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
