"""Regions around landmarks, cut out of an image, and where they lie on it (paper, section 2.1, "fine stage")."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from bundle.geometry import PixelCentres, sample_maps
from bundle.networks.network import NetworkSettings, resize, working_size


class Windows(NamedTuple):
    """Square windows of one size.

    Attributes:
        crops: (N, 1, S, S).
        origins: (N, 2), position ``(x, y)`` on the image of each crop's first pixel; may lie outside it.
    """

    crops: Tensor
    origins: Tensor


def padded_windows(image: Tensor, centres: Tensor, side: int) -> Windows:
    """Windows around points, all of the same size: beyond the image its border is repeated.

    Args:
        image: (1, H, W).
        centres: (N, 2), pixels ``(x, y)``; rounded to whole pixels.
        side: side S of the windows in pixels.
    """
    _, height, width = image.shape
    reach = side // 2
    last = torch.tensor([width - 1, height - 1], device=centres.device)
    origins = centres.round().long().clamp(min=0).minimum(last) - reach
    padded = F.pad(image[None], (reach, side, reach, side), mode="replicate")[0]
    crops = [padded[:, y + reach : y + reach + side, x + reach : x + reach + side] for x, y in origins.tolist()]
    return Windows(torch.stack(crops), origins.to(centres.dtype))


def inner_windows(image: Tensor, centres: Tensor, side: int) -> Windows:
    """Windows around points, moved inside the image where they would reach over its border.

    Arguments and result are those of :func:`padded_windows`, which fills an image that is smaller than a window.
    """
    _, height, width = image.shape
    first = centres.new_full((2,), side // 2)
    last = centres.new_tensor([width - side, height - side]) + first
    return padded_windows(image, centres.round().minimum(last).maximum(first), side)


def clipped_windows(image: Tensor, centres: Tensor, side: int) -> list[Windows]:
    """The paper's window ``[x - side/2, x + side/2)`` around each point, smaller where the image ends.

    Args:
        image: (1, H, W).
        centres: (N, 2), pixels ``(x, y)``; cut off to whole pixels.
        side: side in pixels of a window that is not clipped; where it is odd, the point is its middle.

    Returns:
        one window a point, whose crop may have two different sides.
    """
    _, height, width = image.shape
    windows = []
    for x, y in centres.trunc().long().tolist():
        left, top = max(0, x - side // 2), max(0, y - side // 2)
        crop = image[:, top : min(height, y - side // 2 + side), left : min(width, x - side // 2 + side)]
        origin = torch.tensor([[left, top]], dtype=centres.dtype, device=centres.device)
        windows.append(Windows(crop[None], origin))
    return windows


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


def local_crops(image: Tensor, centres: Tensor, settings: NetworkSettings) -> LocalCrops:
    """Cut one crop around each point.

    Args:
        image: (1, 1, H, W), full resolution.
        centres: (N, 2), pixels ``(x, y)`` of the full image.
        settings: the network's settings: resolution and side of the crops.
    """
    full = (image.shape[-2], image.shape[-1])
    size = working_size(full, settings.local_side, "long") if settings.local_side else full
    shrunk = resize(image, size, "bilinear")
    geometry = PixelCentres()
    windows = padded_windows(shrunk[0], geometry.to_cells(centres, full, size), settings.local_window)
    step = torch.tensor([full[1] / size[1], full[0] / size[0]], dtype=centres.dtype, device=centres.device)
    return LocalCrops(windows.crops, geometry.to_pixels(windows.origins, full, size), step)
