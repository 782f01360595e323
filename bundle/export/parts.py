"""The parts of the network that are exported: tensors in, tensors out, all sizes fixed.

Images are resized before they come here, so that no graph has to hold an antialiasing filter.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from bundle.errors import ExportError
from bundle.networks import OneShotNetwork
from bundle.networks.local_view import local_crops
from bundle.networks.resampling import resize


class Part(nn.Module, ABC):
    """One part of a network, to be exported as one file.

    Args:
        network: the network with its decoders.

    Attributes:
        name: name of the part and of its file.
        inputs: names of the inputs.
        outputs: names of the outputs.
        about: what there is to say about each output, for the description.
    """

    name: str
    inputs: list[str]
    outputs: list[str]
    about: list[dict[str, Any]]

    def __init__(self, network: OneShotNetwork) -> None:
        super().__init__()
        self.network = network
        self.eval()

    @property
    @abstractmethod
    def shapes(self) -> list[tuple[int, int, int, int]]:
        """Shape (B, 1, H, W) of each input."""

    @abstractmethod
    def forward(self, *images: Tensor) -> tuple[Tensor, ...]:
        """The outputs for the inputs."""

    @abstractmethod
    def example(self, image: Tensor, points: Tensor) -> tuple[Tensor, ...]:
        """Inputs that show something: the parts of a real image.

        Args:
            image: (1, 1, H, W), 0 to 1.
            points: (N, 2), pixels ``(x, y)`` of the image.
        """


class GlobalPart(Part):
    """A whole image at its working sizes to descriptors: the encoder, then whitening or the global decoder.

    The inputs are one image at each working size, (1, 1, h, w), 0 to 1. The outputs are the descriptors of each scale,
    (1, C, h', w'), of length one at every position; the negatives, where the network has them, come last. What a global
    decoder gives is not normalised, because the fusion of the strategy ``paper`` upsamples it before.

    Args:
        network: the network.
        image_size: (height, width) in pixels of the images before they are resized.
    """

    name = "global"

    def __init__(self, network: OneShotNetwork, image_size: tuple[int, int]) -> None:
        super().__init__(network)
        self.sizes = network.global_sizes(image_size)
        self.inputs = [f"image_{index}" for index in range(len(network.settings.working_sides))]
        self.outputs = [f"descriptors_{index}" for index in range(len(self.sizes))]
        scales = [(name, negative) for negative in (False, True) for name in self.inputs][: len(self.sizes)]
        self.normalised = network.global_decoder is None
        self.about = [
            {"input": name, "negative": negative, "unit_length": self.normalised} for name, negative in scales
        ]

    @property
    @override
    def shapes(self) -> list[tuple[int, int, int, int]]:
        return [(1, 1, *size) for size in self.sizes[: len(self.inputs)]]

    @override
    def forward(self, *images: Tensor) -> tuple[Tensor, ...]:
        levels = self.network.decode_global(self.network.encode_views(images), self.sizes)
        return tuple(F.normalize(level, dim=1) if self.normalised else level for level in levels)

    @override
    def example(self, image: Tensor, points: Tensor) -> tuple[Tensor, ...]:
        resampling = self.network.settings.resampling
        return tuple(resize(image, (height, width), resampling) for *_, height, width in self.shapes)


class LocalPart(Part):
    """Crops to frozen features and, where the network has a local decoder, decoded features.

    The input is (N, 1, S, S), 0 to 1. The outputs are the encoder's features, (N, C, h, w), which the strategy
    ``posterior`` whitens itself, and the decoded features, (N, C', rows, columns); neither is normalised.

    Args:
        network: the network.
        batch: N, how many crops go through at once.
    """

    name = "local"

    def __init__(self, network: OneShotNetwork, batch: int) -> None:
        super().__init__(network)
        side = network.settings.local_window
        self.size = network.encoder.fit((side, side))
        self.batch = batch
        self.inputs = ["crops"]
        self.outputs = ["features"] if network.local_decoder is None else ["features", "decoded"]
        self.about = [{"input": "crops", "unit_length": False} for _ in self.outputs]

    @property
    @override
    def shapes(self) -> list[tuple[int, int, int, int]]:
        return [(self.batch, 1, *self.size)]

    @override
    def forward(self, *images: Tensor) -> tuple[Tensor, ...]:
        features = self.network.encode_local(images[0])
        if self.network.local_decoder is None:
            return (features,)
        return features, self.network.decode_local(features, self.network.settings.decoded_crop)

    @override
    def example(self, image: Tensor, points: Tensor) -> tuple[Tensor, ...]:
        crops = local_crops(image, points, self.network.settings).images
        chosen = crops[torch.arange(self.batch, device=crops.device) % len(crops)]
        return (resize(chosen, self.size, "bilinear"),)


def parts_of(network: OneShotNetwork, image_size: tuple[int, int], batch: int) -> Sequence[Part]:
    """The parts of a network.

    Args:
        network: the network.
        image_size: (height, width) in pixels of the images before they are resized.
        batch: crops that go through the local part at once.

    Raises:
        ExportError: when images of this size become too small for the encoder.
    """
    whole = GlobalPart(network, image_size)
    small = [shape[-2:] for shape in whole.shapes if min(shape[-2:]) < network.encoder.minimum_side]
    if small:
        raise ExportError(
            f"an image of {image_size[0]} rows and {image_size[1]} columns becomes {small[0][0]} x {small[0][1]} at a "
            f"working size, but the encoder needs at least {network.encoder.minimum_side} pixels on each side: give "
            "the size of a real image."
        )
    return [whole, LocalPart(network, batch)]
