"""Crops at the resolution of the local branch, and where they lie on the image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from bundle.geometry import PixelCentres, sample_maps
from bundle.networks.resampling import resize, working_size
from bundle.networks.settings import NetworkSettings
from bundle.networks.windows import padded_windows


@dataclass(frozen=True)
class LocalCrops:
    """Crops of one image, one per landmark.

    Attributes:
        images: (N, 1, S, S), at the local branch's resolution.
        origins: (N, 2), pixel ``(x, y)`` of the full image at the centre of each crop's first pixel.
        step: (2,), pixels of the full image from one pixel of a crop to the next, ``(x, y)``.
    """

    images: Tensor
    origins: Tensor
    step: Tensor

    def to_crop(self, points: Tensor) -> Tensor:
        """Pixels ``(x, y)`` of the full image, one per crop, to pixels of that crop; (N, 2)."""
        return (points - self.origins) / self.step

    def lattice(self, side: int) -> tuple[Tensor, Tensor]:
        """Where the cells of decoded maps lie on the full image.

        Args:
            side: cells of a map along each side; the map covers the whole crop.

        Returns:
            (N, 2), pixel ``(x, y)`` at the centre of each map's first cell, and (2,), pixels from one cell to the next.
        """
        ratio = self.images.shape[-1] / side
        return self.origins + (ratio - 1) / 2 * self.step, self.step * ratio

    def sample(self, maps: Tensor, points: Tensor) -> Tensor:
        """The maps' vectors at one point per crop, of length one.

        Args:
            maps: (N, C, side, side), decoded maps of the crops.
            points: (N, 2), pixels ``(x, y)`` of the full image.

        Returns:
            tensor of shape (N, C).
        """
        origins, step = self.lattice(maps.shape[-1])
        sampled = sample_maps(maps, ((points - origins) / step)[:, None, None])
        return F.normalize(sampled[:, :, 0, 0], dim=1)


def local_size(image_size: tuple[int, int], settings: NetworkSettings) -> tuple[int, int]:
    """The (height, width) that an image is resized to before crops are cut; 0 keeps the full resolution."""
    return working_size(image_size, settings.local_side, "long") if settings.local_side else image_size


def local_image(image: Tensor, settings: NetworkSettings) -> Tensor:
    """An image at the resolution at which crops are cut: (B, 1, H, W) -> (B, 1, h, w)."""
    return resize(image, local_size((image.shape[-2], image.shape[-1]), settings), "bilinear")


def local_crops(image: Tensor, centres: Tensor, settings: NetworkSettings) -> LocalCrops:
    """Cut one crop around each point.

    Args:
        image: (1, 1, H, W), full resolution.
        centres: (N, 2), pixels ``(x, y)`` of the full image.
        settings: the network's settings: resolution and side of the crops.
    """
    full = (image.shape[-2], image.shape[-1])
    shrunk = local_image(image, settings)
    size = (shrunk.shape[-2], shrunk.shape[-1])
    geometry = PixelCentres()
    windows = padded_windows(shrunk[0], geometry.to_cells(centres, full, size), settings.local_window)
    step = torch.tensor([full[1] / size[1], full[0] / size[0]], dtype=centres.dtype, device=centres.device)
    return LocalCrops(windows.crops, geometry.to_pixels(windows.origins, full, size), step)
