"""Whole images at the finest resolution that the global branch looks at."""

from __future__ import annotations

from torch import Tensor

from bundle.networks.resampling import resize, working_size
from bundle.networks.settings import NetworkSettings


def global_image(image: Tensor, settings: NetworkSettings) -> Tensor:
    """An image at the largest working size, or as it is where that is larger: (B, 1, H, W) -> (B, 1, h, w)."""
    full = (image.shape[-2], image.shape[-1])
    size = working_size(full, max(settings.working_sides), settings.working_side)
    return image if max(size) >= max(full) else resize(image, size, settings.resampling)
