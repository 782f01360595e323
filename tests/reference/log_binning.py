"""Step 3: log-binning (not in the paper; part of its public code, after Amir et al., reference 1)."""

import torch
from torch import Tensor


def log_binned(features: Tensor) -> Tensor:
    """(C, h, w) -> (17 C, h, w): the 3x3 window of each token, then its 8 neighbours of averages at distance 3."""
    channels, rows, columns = features.shape
    averages = _averages(features)
    result = torch.zeros(17 * channels, rows, columns).to(features)
    for row in range(rows):
        for column in range(columns):
            bins = []
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    bins.append(_clamped(features, row + dy, column + dx))
            for dy in (-3, 0, 3):
                for dx in (-3, 0, 3):
                    if dy or dx:
                        bins.append(_clamped(averages, row + dy, column + dx))
            result[:, row, column] = torch.cat(bins)
    return result


def _clamped(features: Tensor, row: int, column: int) -> Tensor:
    _, rows, columns = features.shape
    return features[:, min(max(row, 0), rows - 1), min(max(column, 0), columns - 1)]


def _averages(features: Tensor) -> Tensor:
    """The 3x3 average of each token; what lies outside the map is not counted."""
    _, rows, columns = features.shape
    result = torch.zeros_like(features)
    for row in range(rows):
        for column in range(columns):
            window = features[:, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            result[:, row, column] = window.flatten(1).mean(dim=1)
    return result
