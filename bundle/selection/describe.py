"""Small descriptor maps of all images of a folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from bundle.networks import OneShotNetwork
from bundle.networks.whitening import inverse_power, total_covariance

#: Long side in pixels to which the images are brought: large bones count, not their details.
WORKING_SIDE = 320

POWER = 0.5
SHRINKAGE = 0.05


def describe_images(images: Iterable[Tensor], network: OneShotNetwork) -> Iterator[Tensor]:
    """The frozen encoder's features of images, one after the other.

    Args:
        images: tensors of shape (1, 1, H, W), 0 to 1, bone bright.
        network: a network with one working side and no negative.

    Yields:
        tensors of shape (C, h, w), each of its image's own shape.
    """
    with torch.no_grad():
        for image in images:
            (level,) = network.encode_global(image)
            yield level[0].cpu()


def whiten_together(features: list[Tensor]) -> list[Tensor]:
    """Whiten by the mean covariance of all images and bring each position's descriptor to length one.

    Args:
        features: what :func:`describe_images` gave.

    Returns:
        tensors of the same shapes.
    """
    covariance = torch.stack([total_covariance(one[None]) for one in features]).mean(dim=0)
    matrix = inverse_power(covariance, POWER, SHRINKAGE)
    centred = [one - one.mean(dim=(-2, -1), keepdim=True) for one in features]
    return [F.normalize(torch.einsum("dc,chw->dhw", matrix, one), dim=0) for one in centred]
