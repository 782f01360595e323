"""A Gaussian model of the layout: where a landmark must be, by where all others are, and how sure that is.

Beside the affine prior of the coarse stage this one knows how the layouts of several templates differ, and it comes
with a covariance for each landmark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bundle.matching.geometric_prior import extent

#: Lengths are fractions of the mean layout's extent L, which is a tenth of the image's long side at least. Before any
#: layout is compared, neighbours within REACH vary together by SMOOTH and every landmark by ROUGH on its own; a few
#: layouts count against PRIOR_LAYOUTS such ones.
SMOOTH, REACH, ROUGH, SHEAR = 0.02, 0.15, 0.009, 0.03
PRIOR_LAYOUTS = 15
#: Standard deviation along an axis with which a point is found, where nothing is wrong; degrees of freedom of Student's
#: t by which a point that does not fit counts less.
FOUND, DEGREES = 0.011, 4.0
SMALLEST_EXTENT = 0.1
#: Rounds of the robust fits, and how often the mean layout and the alignment to it are computed from each other.
ROUNDS, START_ROUNDS, MEAN_ROUNDS = 4, 10, 5


@dataclass(frozen=True)
class ShapePrior:
    """The distribution of layouts: a mean of any pose, and how landmarks move together about it.

    Attributes:
        mean: (N, 2), float64, ``(x, y)``, the centre of gravity at the origin.
        covariance: (2N, 2N), of (x1, y1, x2, y2, ...), in squared units of ``mean``, with a free pose.
        extent: L, diagonal of the mean layout.
    """

    mean: Tensor
    covariance: Tensor
    extent: float

    @classmethod
    def fit(cls, layouts: Sequence[Tensor]) -> ShapePrior:
        r"""Fit to the layouts of K templates.

        With :math:`R` for the layouts' residuals (K, 2N) from their Procrustes mean, the covariance is

        .. math:: \frac{\nu G + R^\top R}{\nu + K - 1} + B B^\top, \quad
            G_{ij} = \big((0.02 L)^2 e^{-r_{ij}^2 / 2 (0.15 L)^2} + (0.009 L)^2 \delta_{ij}\big) \mathrm{Id}_2,

        with :math:`\nu` = 15 and with the directions :math:`B` of shift, turn and size (free) and of shear (0.03 L).

        Args:
            layouts: for each template (N, 2), its landmarks ``(x, y)`` in units of its image's long side.
        """
        mean, residuals = procrustes_mean(torch.stack([layout.double().cpu() for layout in layouts]))
        size = max(extent(mean), SMALLEST_EXTENT)
        squared = torch.cdist(mean, mean).square()
        smooth = (SMOOTH * size) ** 2 * torch.exp(-squared / (2 * (REACH * size) ** 2))
        between = smooth + (ROUGH * size) ** 2 * torch.eye(len(mean), dtype=mean.dtype)
        before = torch.kron(between, torch.eye(2, dtype=mean.dtype))
        rows = residuals.flatten(1)
        covariance = (PRIOR_LAYOUTS * before + rows.T @ rows) / (PRIOR_LAYOUTS + len(rows) - 1)
        x, y = (mean / size).unbind(dim=1)
        one, zero = torch.ones_like(x), torch.zeros_like(x)
        directions = [(one, zero), (zero, one), (x, y), (-y, x), (SHEAR * x, -SHEAR * y), (SHEAR * y, SHEAR * x)]
        pose = torch.stack([size * torch.stack(pair, dim=1).flatten() for pair in directions], dim=1)
        return cls(mean, covariance + pose @ pose.T, size)

    def expect(self, points: Tensor) -> tuple[Tensor, Tensor]:
        r"""Where each landmark is, given all *other* points found, and how sure that is.

        With the points' residuals :math:`r` from the mean brought to them by a robust similarity of size f, and
        :math:`A = (f^2 \Sigma + D)^{-1}` with D the variance of finding over the weight of each point, the conditional
        of landmark i on the others is a Gaussian with

        .. math:: p_i - e_i = (A_{ii})^{-1} (A r)_i, \quad \mathrm{Cov}_i = (A_{ii})^{-1} - D_{ii}.

        The weights are those of Student's t, :math:`(4 + 2) / (4 + (p_i - e_i)^\top A_{ii} (p_i - e_i))`, so a point
        that is wrong does not pull the others.

        Args:
            points: (N, 2), pixels ``(x, y)`` of the query.

        Returns:
            (N, 2), the expected places, and (N, 2, 2), their covariances in squared pixels; float64.
        """
        found, count = points.double().cpu(), len(self.mean)
        fitted, factor = _robust_similarity(self.mean, found, 0.005 * self.extent)
        variance = (FOUND * self.extent * factor) ** 2
        residual = found - fitted
        distance = torch.full((count,), 2.0, dtype=found.dtype)  # that of a point like any other: weights of one
        index = torch.arange(count)
        for _ in range(ROUNDS):
            noise = variance * (DEGREES + distance) / (DEGREES + 2)
            variances = factor**2 * self.covariance + torch.diag(noise.repeat_interleave(2))
            precision = torch.cholesky_inverse(torch.linalg.cholesky(variances))  # half the time of a plain inverse
            blocks = precision.reshape(count, 2, count, 2)[index, :, index]  # (N, 2, 2)
            spread = torch.linalg.inv(blocks)
            difference = (spread @ (precision @ residual.flatten()).reshape(count, 2, 1))[..., 0]
            distance = (difference[:, None] @ blocks @ difference[..., None])[:, 0, 0]
        covariance = spread - noise[:, None, None] * torch.eye(2, dtype=found.dtype)
        values, vectors = torch.linalg.eigh(covariance)
        floor = (0.003 * self.extent * factor) ** 2
        covariance = vectors @ torch.diag_embed(values.clamp(min=floor)) @ vectors.transpose(-1, -2)
        return (found - difference).to(points.device), covariance.to(points.device)


def procrustes_mean(layouts: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of layouts without their shift, turn and size (generalised Procrustes analysis).

    Args:
        layouts: (K, N, 2), float64.

    Returns:
        (N, 2), the mean, of the layouts' mean size and about the origin; (K, N, 2), the aligned layouts without it.
    """
    centred = torch.view_as_complex(layouts - layouts.mean(dim=1, keepdim=True))
    energy = centred.abs().square().sum(dim=1).clamp(min=1e-9)
    size = (energy / layouts.shape[1]).sqrt().mean()
    mean = centred[0]
    for _ in range(MEAN_ROUNDS):
        aligned = centred * ((centred.conj() * mean).sum(dim=1) / energy)[:, None]
        mean = aligned.mean(dim=0)
        mean = mean * (size / mean.abs().square().mean().sqrt().clamp(min=1e-9))
    aligned = centred * ((centred.conj() * mean).sum(dim=1) / energy)[:, None]
    return torch.view_as_real(mean.contiguous()), torch.view_as_real((aligned - mean).contiguous())


def _robust_similarity(source: Tensor, target: Tensor, smallest: float) -> tuple[Tensor, float]:
    """The source brought to the target by shift, turn and size, with Cauchy weights; and the factor of size."""
    z, t = torch.view_as_complex(source.contiguous()), torch.view_as_complex(target.contiguous())
    weights = torch.ones(len(z), dtype=source.dtype)
    for _ in range(START_ROUNDS):
        share = weights / weights.sum()
        around, to = z - (share * z).sum(), (share * t).sum()
        turn = (share * around.conj() * (t - to)).sum() / (share * around.abs().square()).sum().clamp(min=1e-9)
        # One landmark, or two in one place, say nothing about size and turn.
        turn = turn if len(z) > 1 and turn.abs() > 1e-6 else torch.ones_like(turn)
        fitted = turn * around + to
        distance = (t - fitted).abs()
        weights = 1.0 / (1.0 + (distance / distance.median().clamp(min=smallest * float(turn.abs()))).square())
    return torch.view_as_real(fitted), float(turn.abs())
