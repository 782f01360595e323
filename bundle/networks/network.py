"""The whole network: frozen encoder, global branch, local branch (paper, figure 1a)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bundle.networks.decoders import GlobalDecoder, LocalDecoder
from bundle.networks.encoders import LOG_BINS, FrozenEncoder, LogBinning
from bundle.networks.resampling import resize, working_size
from bundle.networks.settings import NetworkSettings
from bundle.networks.whitening import Whitening


class OneShotNetwork(nn.Module):
    """Descriptors of a whole radiograph and of crops of it.

    Each branch has two steps, so that what is frozen need be computed only once: ``encode_*`` runs the frozen encoder,
    ``decode_*`` the trainable decoder. The encoder belongs to the network but not to its state: ``state_dict()`` holds
    the decoders alone.

    Args:
        settings: shape of the network.
        encoder: the frozen encoder that the settings name.
    """

    def __init__(self, settings: NetworkSettings, encoder: FrozenEncoder) -> None:
        super().__init__()
        self.settings = settings
        self.encoder = encoder
        self.binning = LogBinning() if settings.log_binning else nn.Identity()
        channels = encoder.channels * (LOG_BINS if settings.log_binning else 1)
        self.global_decoder = GlobalDecoder(channels, settings.global_channels) if settings.global_channels else None
        levels = len(settings.working_sides) * (2 if settings.negative else 1)
        self.whitening = Whitening(levels, channels) if settings.whitening else None
        self.local_decoder = LocalDecoder(channels, settings.local_channels) if settings.local_channels else None
        self.register_state_dict_post_hook(_leave_encoder_out)
        self.register_load_state_dict_post_hook(_do_not_miss_encoder)

    def global_sizes(self, image_size: tuple[int, int]) -> list[tuple[int, int]]:
        """The working sizes (height, width) of an image of (height, width) pixels, one a scale, negatives last."""
        sizes = [
            self.encoder.fit(working_size(image_size, side, self.settings.working_side))
            for side in self.settings.working_sides
        ]
        return sizes * 2 if self.settings.negative else sizes

    def encode_global(self, image: Tensor) -> list[Tensor]:
        """Frozen features of whole images, one map a scale.

        Args:
            image: tensor of shape (B, 1, H, W), 0 to 1.

        Returns:
            for each scale a tensor of shape (B, encoder.channels, h, w).
        """
        sizes = self.global_sizes((image.shape[-2], image.shape[-1]))[: len(self.settings.working_sides)]
        return self.encode_views([resize(image, size, self.settings.resampling) for size in sizes])

    def encode_views(self, views: Sequence[Tensor]) -> list[Tensor]:
        """Frozen features of whole images that have their working sizes already.

        Args:
            views: for each of the working sizes a tensor of shape (B, 1, H, W), 0 to 1; no negatives.

        Returns:
            what :meth:`encode_global` gives.
        """
        negatives = [1.0 - view for view in views] if self.settings.negative else []
        return [self.encoder(view) for view in [*views, *negatives]]

    def decode_global(self, features: Sequence[Tensor], sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
        """Descriptors of whole images, of length one at every position: F^G of the paper.

        Args:
            features: what :meth:`encode_global` gave.
            sizes: the working sizes, to which the global decoder upsamples.

        Returns:
            for each scale a tensor of shape (B, C, h, w).
        """
        descriptors = []
        for index, (level, size) in enumerate(zip(features, sizes)):
            level = self.binning(level)
            if self.global_decoder is not None:
                level = self.global_decoder(level, size)
            if self.whitening is not None:
                level = self.whitening(level, index)
            descriptors.append(F.normalize(level, dim=1))
        return descriptors

    def encode_local(self, crops: Tensor) -> Tensor:
        """Frozen features of crops of any size: (B, 1, S, S) -> (B, encoder.channels, h, w)."""
        return self.encoder(resize(crops, self.encoder.fit((crops.shape[-2], crops.shape[-1])), "bilinear"))

    def decode_local(self, features: Tensor, size: tuple[int, int]) -> Tensor:
        """Descriptors of crops: F^L of the paper, not normalised.

        Args:
            features: what :meth:`encode_local` gave.
            size: (rows, columns) of the result; the crop's own size in the paper.

        Returns:
            tensor of shape (B, C, rows, columns).

        Raises:
            RuntimeError: when the network has no local decoder.
        """
        if self.local_decoder is None:
            raise RuntimeError("this network has no local decoder: local_channels is 0.")
        return self.local_decoder(self.binning(features), size)

    def forward(self, image: Tensor) -> Tensor:
        """Descriptors of whole images as one map.

        Args:
            image: tensor of shape (B, 1, H, W), 0 to 1.

        Returns:
            tensor of shape (B, C, h, w): all scales, resized to the finest and concatenated.
        """
        levels = self.decode_global(self.encode_global(image), self.global_sizes((image.shape[-2], image.shape[-1])))
        finest = max((tuple(level.shape[-2:]) for level in levels), key=lambda size: size[0] * size[1])
        return torch.cat([F.interpolate(level, size=finest, mode="bilinear") for level in levels], dim=1)


def _leave_encoder_out(
    network: nn.Module, state: dict[str, Any], prefix: str, _local_metadata: Mapping[str, Any]
) -> None:
    for key in [key for key in state if key.startswith(f"{prefix}encoder.")]:
        del state[key]


def _do_not_miss_encoder(network: nn.Module, incompatible: Any) -> None:
    incompatible.missing_keys[:] = [key for key in incompatible.missing_keys if ".encoder." not in f".{key}"]
