"""The parts of the network that are exported: tensors in, tensors out, all sizes fixed.

Images are resized before they come here, so that no graph has to hold an antialiasing filter.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bundle.errors import ExportError
from bundle.networks import OneShotNetwork
from bundle.networks.local_view import local_crops
from bundle.networks.resampling import resize


class Part(nn.Module):
    """One part of a network, to be exported as one file.

    Args:
        network: the network with its decoders.
        example: inputs that show something, of the sizes that the file will take.

    Attributes:
        name: name of the part and of its file.
        inputs: names of the inputs.
        about: for each output its ``name``, and what else there is to say of it.
    """

    name: str
    inputs: list[str]
    about: list[dict[str, Any]]

    def __init__(self, network: OneShotNetwork, example: tuple[Tensor, ...]) -> None:
        super().__init__()
        self.network = network
        self.example = example
        self.eval()


class GlobalPart(Part):
    """A whole image at its working sizes to descriptors: the encoder, then whitening or the global decoder.

    The inputs are one image at each working size, (1, 1, h, w), 0 to 1. The outputs are the descriptors of each scale,
    (1, C, h', w'), of length one at every position; the negatives, where the network has them, come last. What a global
    decoder gives is not normalised, because the fusion of the strategy ``paper`` upsamples it before.

    Args:
        network: the network.
        image: (1, 1, H, W), 0 to 1, of the size of the images before they are resized.

    Raises:
        ExportError: when images of this size become too small for the encoder.
    """

    name = "global"

    def __init__(self, network: OneShotNetwork, image: Tensor) -> None:
        rows, columns = image.shape[-2:]
        self.sizes, smallest = network.global_sizes((rows, columns)), network.encoder.minimum_side
        for size in self.sizes:
            if min(size) < smallest:
                raise ExportError(
                    f"an image of {rows} rows and {columns} columns becomes {size[0]} x {size[1]} at a working size, "
                    f"but the encoder needs at least {smallest} pixels on each side: give the size of a real image."
                )
        settings = network.settings
        super().__init__(
            network,
            tuple(resize(image, size, settings.resampling) for size in self.sizes[: len(settings.working_sides)]),
        )
        self.inputs = [f"image_{index}" for index in range(len(self.example))]
        self.normalised = network.global_decoder is None
        scales = [(name, negative) for negative in (False, True) for name in self.inputs][: len(self.sizes)]
        self.about = [
            {"name": f"descriptors_{index}", "input": name, "negative": negative, "unit_length": self.normalised}
            for index, (name, negative) in enumerate(scales)
        ]

    def forward(self, *images: Tensor) -> tuple[Tensor, ...]:
        """The descriptors of each scale."""
        levels = self.network.decode_global(self.network.encode_views(images), self.sizes)
        return tuple(F.normalize(level, dim=1) if self.normalised else level for level in levels)


class LocalPart(Part):
    """Crops to frozen features and, where the network has a local decoder, decoded features.

    The input is (N, 1, S, S), 0 to 1. The outputs are the encoder's features, (N, C, h, w), which the strategy
    ``posterior`` whitens itself, and the decoded features, (N, C', rows, columns); neither is normalised.

    Args:
        network: the network.
        image: (1, 1, H, W), 0 to 1.
        points: (M, 2), pixels ``(x, y)`` around which the crops of the example are cut.
        batch: N, how many crops go through at once.
    """

    name = "local"

    def __init__(self, network: OneShotNetwork, image: Tensor, points: Tensor, batch: int) -> None:
        side = network.settings.local_window
        crops = local_crops(image, points[torch.arange(batch) % len(points)], network.settings).images
        super().__init__(network, (resize(crops, network.encoder.fit((side, side)), "bilinear"),))
        self.inputs = ["crops"]
        names = ["features"] if network.local_decoder is None else ["features", "decoded"]
        self.about = [{"name": name, "input": "crops", "unit_length": False} for name in names]

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        """The features, and the decoded ones where there is a decoder."""
        features = self.network.encode_local(crops)
        if self.network.local_decoder is None:
            return (features,)
        return features, self.network.decode_local(features, self.network.settings.decoded_crop)


class SteadyInstanceNorm(nn.Module):
    """Zero mean and unit variance for each channel of each image, with sums that stay exact on large images.

    It equals ``nn.InstanceNorm2d`` without weights. ONNX Runtime adds up all pixels of an image in one go in single
    precision: of 1440 x 1160 pixels the last digits are lost, and the descriptors of XFeat came out up to 4e-4 of the
    largest value wrong. Means of rows first, and then their mean, were good to 1e-6.

    Args:
        eps: what is added to the variance.
    """

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, images: Tensor) -> Tensor:
        """Normalise: (B, C, H, W) -> (B, C, H, W)."""
        centred = images - _mean(images)
        return centred / torch.sqrt(_mean(centred * centred) + self.eps)


def with_steady_norms(module: nn.Module) -> nn.Module:
    """A copy in which every instance normalisation without weights and statistics is a steady one."""
    changed = copy.deepcopy(module)
    for parent in list(changed.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.InstanceNorm2d) and not (child.affine or child.track_running_stats):
                setattr(parent, name, SteadyInstanceNorm(child.eps))
    return changed


def _mean(images: Tensor) -> Tensor:
    return images.mean(dim=-1, keepdim=True).mean(dim=-2, keepdim=True)
