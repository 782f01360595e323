"""Linear discriminants: what tells a landmark's patch from all others around it."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

#: Patches that the covariance is taken from at most, and the share of the mean variance that is added to it.
PATCHES, SHRINKAGE = 20_000, 1.0


def discriminants(windows: Iterable[Tensor], kernels: Tensor, seed: int = 0) -> Tensor:
    r"""The linear discriminant of each landmark against its surroundings (LDA), in closed form.

    .. math:: v_i = (S + \bar\sigma^2 \mathrm{Id})^{-1} (w_i - \mu)

    with the mean :math:`\mu`, the covariance S and the mean variance :math:`\bar\sigma^2` of the patches around all
    landmarks. Each is scaled so that its scores on these patches vary as much as those of :math:`w_i` do.

    Args:
        windows: maps around landmarks, (C, h, w) each, of one scale.
        kernels: (M, C, patch, patch), the landmarks' own patches w.
        seed: draws the patches, where there are more than :data:`PATCHES`.

    Returns:
        tensor of the shape of ``kernels``.
    """
    maps, side = list(windows), kernels.shape[-1]
    total = sum((one.shape[-2] - side + 1) * (one.shape[-1] - side + 1) for one in maps)
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.zeros(total, dtype=torch.bool)
    chosen[torch.randperm(total, generator=generator)[:PATCHES]] = True
    rows, start = [], 0
    for one in maps:
        patches = F.unfold(one[None], side)[0].T
        rows.append(patches[chosen[start : start + len(patches)].to(patches.device)])
        start += len(patches)
    background = torch.cat(rows)
    mean = background.mean(dim=0)
    centred = background - mean
    covariance = centred.T @ centred / len(centred)
    covariance.diagonal().add_(SHRINKAGE * covariance.diagonal().mean())
    found = torch.linalg.solve(covariance, (kernels.flatten(1) - mean).T).T
    scale = (centred @ kernels.flatten(1).T).std(dim=0) / (centred @ found.T).std(dim=0).clamp(min=1e-12)
    return (found * scale[:, None]).unflatten(1, kernels.shape[1:])
