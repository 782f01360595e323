"""The one interface behind which every encoder stands: an image in, a feature map out, and nothing moves."""

import hashlib
from abc import ABC, abstractmethod
from typing import Any, Self

import torch
from torch import Tensor, nn

from bundle.errors import ImageError


class FrozenEncoder(nn.Module, ABC):
    """A pre-trained image encoder whose weights and statistics never change (paper, section 2.1: "frozen").

    Subclasses implement :meth:`encode` and set the attributes.

    Attributes:
        channels: C, channels of the feature map.
        heads: equal parts of the channels, one after the other, that come from one attention head each; 1 without any.
        stride: pixels of the input from one cell of the map to the next.
        minimum_side: smallest height or width in pixels that the network can take.
        spec: what :func:`bundle.encoders.create_encoder` needs to build this encoder again: names and
            numbers only, no weights.
        digest: SHA-256 of the weights, in hexadecimal.
    """

    channels: int
    heads: int = 1
    stride: int
    minimum_side: int
    spec: dict[str, Any]
    digest: str

    @abstractmethod
    def encode(self, image: Tensor) -> Tensor:
        """Encode grey images: (B, 1, H, W), 0 to 1 -> (B, C, h, w)."""

    def forward(self, image: Tensor) -> Tensor:
        """Encode a batch of grey images without gradients.

        Args:
            image: tensor of shape (B, 1, H, W), 0 to 1, at the resolution at which the network shall see it.

        Returns:
            feature map of shape (B, channels, h, w), with h about H / stride.

        Raises:
            ImageError: when the image is not one grey channel or is smaller than :attr:`minimum_side`.
        """
        if image.ndim != 4 or image.shape[1] != 1:
            raise ImageError(f"image has the shape {tuple(image.shape)}, expected (B, 1, H, W): one grey channel.")
        if min(image.shape[-2:]) < self.minimum_side:
            raise ImageError(
                f"image has the size {image.shape[-1]} x {image.shape[-2]}, the encoder {self.spec['name']} needs at "
                f"least {self.minimum_side} pixels on each side."
            )
        with torch.no_grad():
            return self.encode(image)

    def fit(self, size: tuple[int, int]) -> tuple[int, int]:
        """The size nearest to ``size`` = (height, width) that the encoder maps onto whole cells.

        An image resized to it and its map cover the same rectangle. The default takes any size as it is.
        """
        return size

    def freeze(self) -> None:
        """Fix the weights; called once at the end of a subclass's ``__init__``."""
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode whatever a trainer asks for: batch-norm statistics would move otherwise."""
        return super().train(False)


def state_digest(module: nn.Module) -> str:
    """SHA-256 over names, shapes and values of a module's state, in hexadecimal."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        values = tensor.detach().to("cpu").contiguous()
        digest.update(f"{name}:{values.dtype}:{tuple(values.shape)};".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes() if values.numel() else b"")
    return digest.hexdigest()
