"""What matches a template and a query of any pose: whitened features of an image and of its negative."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bundle.encoders.base import FrozenEncoder
from bundle.geometry import cell_grid
from bundle.networks.network import resize, working_size
from bundle.networks.whitening import inverse_power, total_covariance
from bundle.pose.affine import apply, scaling

#: The power and the shrinkage of the whitening by the template's own covariance.
POWER, SHRINKAGE = 0.25, 0.05


class Places(NamedTuple):
    """Places of an image and what it shows there.

    Attributes:
        points: (n, 2), float64, in the image's square pixels.
        descriptors: (n, 2C), of length one: of the image, then of its negative; or (n, C), of the image alone.
    """

    points: np.ndarray
    descriptors: Tensor


def shrink(image: Tensor, aspect: float, side: float, encoder: FrozenEncoder) -> tuple[Tensor, np.ndarray]:
    """An image of shape (1, 1, H, W) with square pixels, so small that its long side has ``side`` of them.

    Args:
        image: the image.
        aspect: height of its pixels over their width.
        side: pixels.
        encoder: decides which sizes there are.

    Returns:
        the small image, and the map from square pixels of the image (as wide as its pixels) to the small one's.
    """
    height, width = image.shape[-2], image.shape[-1]
    size = encoder.fit(working_size((max(1, round(height * aspect)), width), round(side), "long"))
    return resize(image, size, "bilinear"), scaling(size[1] / width, size[0] / (height * aspect))


def encode(small: Tensor, encoder: FrozenEncoder, negative: bool = True) -> Tensor:
    """Features of an image of shape (1, 1, h, w) and, with ``negative``, of its negative: (1 or 2, C, n)."""
    return encoder(torch.cat([small, 1 - small]) if negative else small).flatten(2)


def cell_centres(size: tuple[int, int], encoder: FrozenEncoder) -> np.ndarray:
    """(n, 2): where the cells of an image of (height, width) lie on it, row by row."""
    cells = cell_grid((size[0] // encoder.stride, size[1] // encoder.stride), dtype=torch.float64).numpy()
    return apply(scaling(encoder.stride, encoder.stride), cells)


def whitening(features: Tensor) -> Tensor:
    """The matrices, (2, C, C), that whiten the template's features, (2, C, n)."""
    return torch.stack([inverse_power(total_covariance(one[None, ..., None]), POWER, SHRINKAGE) for one in features])


def describe(features: Tensor, matrices: Tensor) -> Tensor:
    """Features (k, C, n) to descriptors (n, kC): without their mean, whitened, each part of length sqrt(1/k)."""
    centred = matrices[: len(features)] @ (features - features.mean(dim=2, keepdim=True))
    return F.normalize(centred, dim=1).permute(2, 0, 1).flatten(1) / math.sqrt(len(features))
