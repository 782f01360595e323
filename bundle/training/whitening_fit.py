"""Learn from warps of the template what changes at the same place, and whiten by it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bundle.data.warps import WarpedTemplate
from bundle.geometry import PixelCentres, sample_map
from bundle.networks import OneShotNetwork
from bundle.ranks import is_first, of_all, rank, ranks, sum_over_ranks
from bundle.records.errors import ConfigError
from bundle.records.progress import progress


class WhiteningFit:
    """Fits the network's whitening to the covariance within places: that of ``f(warp of p) - f(p)``.

    Directions of the feature space in which the same place looks different after a warp are of no use to find it again;
    they are damped.

    Args:
        network: a network with whitening.
        warps: warps of the template with a lattice of points.
        power: see :meth:`bundle.networks.whitening.Whitening.fit`.
        shrinkage: likewise.

    Raises:
        ConfigError: when the network has no whitening.
    """

    def __init__(self, network: OneShotNetwork, warps: WarpedTemplate, power: float, shrinkage: float) -> None:
        if network.whitening is None:
            raise ConfigError(
                "configs/train.json fits a whitening, but network.whitening is false: set it to true, or train with "
                "configs/train_decoders.json, which goes with configs/paper.json."
            )
        self.network = network
        self.warps = warps
        self.power = power
        self.shrinkage = shrinkage

    def run(self) -> None:
        """Encode the warps, each rank its share, and fit; nothing happens where the network has no whitening."""
        if self.network.whitening is None:
            return
        size = (int(self.warps.image.shape[-2]), int(self.warps.image.shape[-1]))
        own = self._describe(self.warps.image, self.warps.lattice.float(), size)
        covariances = [torch.zeros(level.shape[1], level.shape[1], device=level.device) for level in own]
        count = 0
        own_share = range(rank(), len(self.warps), ranks())
        for index in progress(own_share, desc="whitening", unit="warp", disable=not is_first()):
            warp = self.warps[index]
            last = torch.tensor([size[1] - 1, size[0] - 1])
            inside = ((warp["lattice"] >= 0) & (warp["lattice"] <= last)).all(dim=-1)
            warped = self._describe(warp["image"], warp["lattice"], size)
            for covariance, here, there in zip(covariances, own, warped):
                difference = (there - here)[inside.to(here.device)]
                covariance += difference.T @ difference
            count += int(inside.sum())
        count = sum(of_all(count))
        means = [sum_over_ranks(covariance) / count for covariance in covariances]
        self.network.whitening.fit(means, self.power, self.shrinkage)

    def _describe(self, image: Tensor, points: Tensor, size: tuple[int, int]) -> list[Tensor]:
        """Centred features of length one at points ``(x, y)``: (1, H, W), (P, 2) -> for each scale (P, C)."""
        device = next(self.network.parameters()).device
        described = []
        with torch.no_grad():
            for level in self.network.encode_global(image[None].to(device)):
                centred = level[0] - level[0].mean(dim=(-2, -1), keepdim=True)
                cells = PixelCentres().to_cells(points.to(device), size, (level.shape[-2], level.shape[-1]))
                described.append(F.normalize(sample_map(centred, cells), dim=1))
        return described
