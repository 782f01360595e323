"""Whitening of features, fitted and not trained.

A pre-trained encoder spends most of its variance on what all radiographs share. Dividing it by a power of a covariance
leaves what tells one place from another (exemplar linear discriminant analysis: Hariharan et al., ECCV 2012).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Whitening(nn.Module):
    """Remove each map's mean over the positions, then apply one matrix per scale; the identity until fitted.

    Args:
        levels: how many scales there are.
        channels: C, channels of every scale.
    """

    matrices: Tensor

    def __init__(self, levels: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("matrices", torch.eye(channels).expand(levels, -1, -1).clone())

    def forward(self, features: Tensor, level: int) -> Tensor:
        """Whiten the features of one scale: (B, C, h, w) -> (B, C, h, w)."""
        return whitened(features, self.matrices[level])

    def fit(self, covariances: Sequence[Tensor], power: float, shrinkage: float) -> None:
        """Set the matrices to the covariances to the power ``-power``.

        Args:
            covariances: a matrix of shape (C, C) a scale.
            power: 0 changes nothing, 0.5 makes the covariance the identity.
            shrinkage: share of the mean variance that is mixed in, from 0 to 1, so that no direction is blown up.
        """
        self.matrices.copy_(torch.stack([inverse_power(matrix, power, shrinkage) for matrix in covariances]))


def whitened(features: Tensor, matrix: Tensor) -> Tensor:
    """Each map without its mean over the positions, times a matrix, (C, C): (B, C, h, w) -> (B, C, h, w).

    The result has its channels last in memory, where vectors are brought to length one in a tenth of the time.
    """
    return (_centred(features).movedim(1, -1) @ matrix.T).movedim(-1, 1)


def unit_descriptors(features: Tensor, matrix: Tensor) -> Tensor:
    """Maps centred and whitened, with a vector of length one at every position: (B, C, h, w) -> (B, C, h, w)."""
    return F.normalize(whitened(features, matrix), dim=1)


def total_covariance(features: Tensor) -> Tensor:
    """Covariance over the positions of maps, each without its own mean: (B, C, h, w) -> (C, C)."""
    rows = _centred(features).transpose(0, 1).flatten(1)
    return rows @ rows.T / rows.shape[1]


def inverse_power(covariance: Tensor, power: float, shrinkage: float) -> Tensor:
    """A shrunk covariance matrix to the power ``-power``: (C, C) -> (C, C), symmetric."""
    exact = covariance.double()
    identity = torch.eye(len(exact), dtype=exact.dtype, device=exact.device)
    mean = exact.diagonal().mean()
    shrunk = (1 - shrinkage) * exact + shrinkage * mean * identity
    values, vectors = torch.linalg.eigh(shrunk)
    return (vectors @ torch.diag(values.clamp(min=1e-12) ** -power) @ vectors.T).to(covariance.dtype)


def _centred(features: Tensor) -> Tensor:
    return features - features.mean(dim=(-2, -1), keepdim=True)
