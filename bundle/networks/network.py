"""The whole network: frozen encoder, global branch, local branch (paper, figure 1a); its settings; sizes of images."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from PIL import Image
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from bundle.encoders import EncoderSettings, FrozenEncoder
from bundle.errors import ConfigError
from bundle.networks.decoders import GlobalDecoder, LocalDecoder, LogBinning, NoBinning
from bundle.networks.whitening import Whitening
from bundle.records.radiograph import GreyValues
from bundle.records.validation import Items, Validated

# What goes beyond the largest values is a mistake, or a file that wants to fill the memory.
_Side = Annotated[int, Field(ge=32, le=65536)]
_Channels = Annotated[int, Field(ge=0, le=4096)]

Resampling = Literal["bilinear", "lanczos"]
Side = Literal["long", "short"]


class NetworkSettings(Validated):
    """Shape of the network.

    Attributes:
        encoder: the frozen encoder.
        log_binning: concatenate each token's descriptor with its surroundings.
        working_sides: sizes in pixels to which the image is brought for the global branch, one per scale.
        working_side: which side they mean, ``"long"`` or ``"short"``.
        grey_values: how the images were read that the network is for, one of
            :data:`bundle.records.radiograph.GreyValues`.
        resampling: ``"bilinear"`` or ``"lanczos"``.
        negative: encode the negative of the image too, as further scales: what is bright bone on a dark ground for
            one encoder may be better told apart the other way round.
        whitening: remove the mean and whiten the features of each scale before the cosine.
        global_channels: channels of the global decoder; 0 for none, then the encoder's own features are matched.
        local_channels: channels of the local decoder; 0 for none.
        local_side: size in pixels of the long side at which crops are cut; 0 for the full resolution.
        local_window: side in pixels of a crop.
        local_cells: side in cells of a decoded crop; 0 for one cell per pixel.
    """

    encoder: EncoderSettings = EncoderSettings(name="xfeat")
    log_binning: bool = False
    working_sides: Annotated[Items[_Side], Field(min_length=1, max_length=32)] = (320, 480, 640, 960, 1440)
    working_side: Side = "long"
    grey_values: GreyValues = "stretch"
    resampling: Resampling = "bilinear"
    negative: bool = False
    whitening: bool = True
    global_channels: _Channels = 0
    local_channels: _Channels = 0
    local_side: Literal[0] | _Side = 2400
    local_window: Annotated[int, Field(ge=32, le=8192)] = 256
    local_cells: Annotated[int, Field(ge=0, le=8192)] = 40

    @model_validator(mode="after")
    def _check_global_decoder(self) -> Self:
        if self.global_channels and len(self.working_sides) > 1:
            raise ConfigError("global_channels needs one working size: several scales are matched undecoded.")
        if self.global_channels and (self.negative or self.whitening):
            raise ConfigError("global_channels is for a trained decoder: set negative and whitening to false.")
        return self

    @property
    def decoded_crop(self) -> tuple[int, int]:
        """(rows, columns) of a decoded crop that is not clipped."""
        side = self.local_cells or self.local_window
        return side, side

    def as_dict(self) -> dict[str, Any]:
        """The settings as plain values that a checkpoint or a JSON file can hold; of the encoder those given."""
        return {**self.model_dump(mode="json"), "encoder": self.encoder.model_dump(exclude_unset=True)}


#: What the network can compute in.
PRECISIONS = ("float32", "bfloat16")


class OneShotNetwork(nn.Module):
    """Descriptors of a whole radiograph and of crops of it.

    Each branch has two steps, so that what is frozen need be computed only once: ``encode_*`` runs the frozen encoder,
    ``decode_*`` the trainable decoder. The encoder belongs to the network but not to its state: ``state_dict()`` holds
    the decoders alone.

    Args:
        settings: shape of the network.
        encoder: the frozen encoder that the settings name.
        precision: what encoder and decoders compute in: ``"float32"``, or ``"bfloat16"`` by PyTorch's automatic mixed
            precision. Features and descriptors are single precision in any case, so matching and loss are, too.

    Raises:
        ConfigError: when the precision is unknown.
    """

    def __init__(self, settings: NetworkSettings, encoder: FrozenEncoder, precision: str = "float32") -> None:
        super().__init__()
        if precision not in PRECISIONS:
            raise ConfigError(f"precision is {precision!r}, expected one of {', '.join(PRECISIONS)}.")
        self.settings = settings
        self.precision = precision
        self.encoder = encoder
        self.binning = LogBinning() if settings.log_binning else NoBinning()
        channels = encoder.channels
        self.global_decoder = (
            GlobalDecoder(channels, settings.global_channels, self.binning) if settings.global_channels else None
        )
        levels = len(settings.working_sides) * (2 if settings.negative else 1)
        self.whitening = Whitening(levels, channels * self.binning.bins) if settings.whitening else None
        self.local_decoder = (
            LocalDecoder(channels, settings.local_channels, self.binning) if settings.local_channels else None
        )
        self.register_state_dict_post_hook(_leave_encoder_out)
        self.register_load_state_dict_post_hook(_do_not_miss_encoder)

    def global_sizes(self, image_size: tuple[int, int]) -> list[tuple[int, int]]:
        """The working sizes (height, width) of an image of (height, width) pixels, one per scale, negatives last."""
        sizes = [
            self.encoder.fit(working_size(image_size, side, self.settings.working_side))
            for side in self.settings.working_sides
        ]
        return sizes * 2 if self.settings.negative else sizes

    def encode_global(self, image: Tensor) -> list[Tensor]:
        """Frozen features of whole images, one map per scale.

        Args:
            image: tensor of shape (B, 1, H, W), 0 to 1.

        Returns:
            for each scale a tensor of shape (B, encoder.channels, h, w).
        """
        return self.encode_views(self.views(image))

    def views(self, image: Tensor) -> list[Tensor]:
        """Images, (B, 1, H, W), at the working sizes; where the largest is smaller, the others are made of it."""
        sizes = self.global_sizes((image.shape[-2], image.shape[-1]))[: len(self.settings.working_sides)]
        largest = resize(image, max(sizes), self.settings.resampling)  # far fewer pixels to make the others of
        source = largest if largest.numel() < image.numel() else image
        return [largest if size == max(sizes) else resize(source, size, self.settings.resampling) for size in sizes]

    def encode_views(self, views: Sequence[Tensor]) -> list[Tensor]:
        """Frozen features of whole images that have their working sizes already.

        Args:
            views: for each of the working sizes a tensor of shape (B, 1, H, W), 0 to 1; no negatives.

        Returns:
            what :meth:`encode_global` gives.
        """
        negatives = [1.0 - view for view in views] if self.settings.negative else []
        with self._precision():
            return [_single(self.encoder(view)) for view in [*views, *negatives]]

    def decode_global(self, features: Sequence[Tensor], sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
        """Descriptors of whole images: F^G of the paper, not normalised.

        Args:
            features: what :meth:`encode_global` gave.
            sizes: the working sizes, to which the global decoder upsamples.

        Returns:
            for each scale a tensor of shape (B, C, h, w).
        """
        descriptors = []
        for index, (level, size) in enumerate(zip(features, sizes)):
            if self.global_decoder is None:
                level = self.binning(level)
            else:
                with self._precision():
                    level = _single(self.global_decoder(level, size))
            if self.whitening is not None:
                level = self.whitening(level, index)
            descriptors.append(level)
        return descriptors

    def encode_local(self, crops: Tensor) -> Tensor:
        """Frozen features of crops of any size: (B, 1, S, S) -> (B, encoder.channels, h, w)."""
        crops = resize(crops, self.encoder.fit((crops.shape[-2], crops.shape[-1])), "bilinear")
        with self._precision():
            return _single(self.encoder(crops))

    def decode_local(self, features: Tensor, size: tuple[int, int], groups: int = 1) -> Tensor:
        """Descriptors of crops: F^L of the paper, not normalised.

        Args:
            features: what :meth:`encode_local` gave.
            size: (rows, columns) of the result; the crop's own size in the paper.
            groups: see :meth:`bundle.networks.decoders.LocalDecoder.forward`.

        Returns:
            tensor of shape (B, C, rows, columns).
        """
        assert self.local_decoder is not None
        with self._precision():
            return _single(self.local_decoder(features, size, groups))

    def forward(self, image: Tensor) -> Tensor:
        """Descriptors of whole images as one map.

        Args:
            image: tensor of shape (B, 1, H, W), 0 to 1.

        Returns:
            tensor of shape (B, C, h, w): all scales, each of length one, resized to the finest and concatenated.
        """
        levels = self.decode_global(self.encode_global(image), self.global_sizes((image.shape[-2], image.shape[-1])))
        finest = max((tuple(level.shape[-2:]) for level in levels), key=lambda size: size[0] * size[1])
        scales = [F.interpolate(F.normalize(level, dim=1), size=finest, mode="bilinear") for level in levels]
        return torch.cat(scales, dim=1)

    def _precision(self) -> torch.autocast:
        device = next(self.encoder.parameters()).device.type
        return torch.autocast(device, dtype=torch.bfloat16, enabled=self.precision == "bfloat16")


def _single(features: Tensor) -> Tensor:
    """Reduced precision back to single; double stays double."""
    return features.float() if features.dtype in (torch.bfloat16, torch.float16) else features


def _leave_encoder_out(
    network: nn.Module, state: dict[str, Any], prefix: str, _local_metadata: Mapping[str, Any]
) -> None:
    for key in [key for key in state if key.startswith(f"{prefix}encoder.")]:
        del state[key]


def _do_not_miss_encoder(network: nn.Module, incompatible: Any) -> None:
    incompatible.missing_keys[:] = [key for key in incompatible.missing_keys if ".encoder." not in f".{key}"]


def resize(image: Tensor, size: tuple[int, int], resampling: Resampling) -> Tensor:
    """Resize images with a filter that removes what the smaller grid cannot hold.

    Args:
        image: tensor of shape (B, C, H, W), 0 to 1.
        size: (height, width) of the result.
        resampling: ``"bilinear"`` (triangle filter, the default encoder's) or ``"lanczos"`` (the paper's, on 8 bits).

    Raises:
        ConfigError: when a network is exported, which cannot hold Pillow's filter.
    """
    if tuple(image.shape[-2:]) == tuple(size):
        return image
    if resampling == "bilinear":
        for shape in ((size[0], image.shape[-1]), size):  # down first, where whole rows are added: then few are left
            image = F.interpolate(image, size=shape, mode="bilinear", align_corners=False, antialias=True)
        return image
    return _lanczos(image, size)


def _lanczos(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Pillow's Lanczos on 8 bits, as the paper's public code resizes: rounded, and clipped to 0 to 1."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        raise ConfigError(
            "resampling 'lanczos' is Pillow's, which no exported network can hold: use scripts/export_onnx.py, whose "
            "files take images that are resized already."
        )
    height, width = size
    grey = (image.flatten(0, 1) * 255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
    resized = [np.asarray(Image.fromarray(one).resize((width, height), Image.Resampling.LANCZOS)) for one in grey]
    return torch.from_numpy(np.stack(resized)).unflatten(0, image.shape[:2]).to(image) / 255


def working_size(image_size: tuple[int, int], side: int, which: Side) -> tuple[int, int]:
    """The size that an image has when its long or short side is ``side`` pixels and its shape is kept.

    Args:
        image_size: (height, width).
        side: pixels.
        which: ``"long"`` or ``"short"``; for the paper's ``"short"`` the other side is rounded down, as torchvision
            does.
    """
    height, width = image_size
    if which == "long":
        factor = side / max(height, width)
        return max(1, round(height * factor)), max(1, round(width * factor))
    if height <= width:
        return side, math.floor(side * width / height)
    return math.floor(side * height / width), side
