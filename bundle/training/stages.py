"""The two stages of the training: each trains one decoder on frozen features."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from typing_extensions import override

from bundle.data.warps import WarpedTemplate
from bundle.errors import ConfigError
from bundle.geometry import CellGeometry, PixelCentres
from bundle.networks import OneShotNetwork
from bundle.networks.crops import inner_windows


class Stage(nn.Module, ABC):
    """A decoder in training, and how its inputs are made of a warp of the template.

    A warp gives frozen features of shape (M, C, h, w) and landmarks as cells ``(x, y)`` of the decoded map, of shape
    (M, K, 2): one image with K = N landmarks in the global stage, M = N crops with K = 1 landmark in the local stage.

    Args:
        network: the network that the decoder belongs to.
        which: ``"global"`` or ``"local"``.

    Raises:
        ConfigError: when the network has no such decoder.
    """

    def __init__(self, network: OneShotNetwork, which: str) -> None:
        super().__init__()
        decoder = getattr(network, f"{which}_decoder")
        if decoder is None:
            raise ConfigError(
                f"the {which} stage needs network.{which}_channels: add configs/paper.json, or set more than 0."
            )
        self.network = network
        self.decoder: nn.Module = decoder

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    @abstractmethod
    def encode(self, warp: dict[str, Tensor], index: int) -> tuple[Tensor, Tensor]:
        """Frozen features and cells of one warp.

        Args:
            warp: an item of :class:`bundle.data.warps.WarpedTemplate`.
            index: number of the warp, which decides about anything random.
        """

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """Decode: (M, C, h, w) -> (M, C', h', w')."""


class GlobalStage(Stage):
    """Trains the global decoder on whole images.

    Args:
        network: a network with one scale and a global decoder.
        warps: the warps, which give the size of the images.
        geometry: how landmarks lie on the decoded map.
    """

    def __init__(self, network: OneShotNetwork, warps: WarpedTemplate, geometry: CellGeometry) -> None:
        super().__init__(network, "global")
        self.geometry = geometry
        self.image_size = (int(warps.image.shape[-2]), int(warps.image.shape[-1]))
        (self.decoded_size,) = network.global_sizes(self.image_size)

    def encode(self, warp: dict[str, Tensor], index: int) -> tuple[Tensor, Tensor]:
        """Nothing is random."""
        with torch.no_grad():
            (features,) = self.network.encode_global(warp["image"][None].to(self.device))
        return features, self.geometry.to_cells(warp["landmarks"], self.image_size, self.decoded_size)[None]

    @override
    def forward(self, features: Tensor) -> Tensor:
        return self.decoder(features, self.decoded_size)


class LocalStage(Stage):
    """Trains the local decoder on crops around the landmarks, each shifted at random.

    As in the paper's public code, crops that would reach over the border are moved inside the image, and batch
    normalisation sees the crops of one landmark at a time.

    Args:
        network: a network with a local decoder.
        jitter: largest shift in pixels of the crop on each axis; the paper has 50.
        seed: seed of the shifts.
        landmarks: how many landmarks a warp has.
    """

    def __init__(self, network: OneShotNetwork, jitter: int, seed: int, landmarks: int) -> None:
        super().__init__(network, "local")
        self.jitter = jitter
        self.seed = seed
        self.landmarks = landmarks

    def encode(self, warp: dict[str, Tensor], index: int) -> tuple[Tensor, Tensor]:
        """The shifts are random."""
        landmarks, settings = warp["landmarks"], self.network.settings
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + index)
        shift = torch.randint(-self.jitter, self.jitter + 1, landmarks.shape, generator=generator).to(landmarks)
        window = settings.local_window
        windows = inner_windows(warp["image"].to(self.device), (landmarks + shift).to(self.device), window)
        with torch.no_grad():
            features = self.network.encode_local(windows.crops)
        inside = landmarks.to(self.device) - windows.origins
        return features, PixelCentres().to_cells(inside, (window, window), settings.decoded_crop)[:, None]

    @override
    def forward(self, features: Tensor) -> Tensor:
        return self.network.decode_local(features, self.network.settings.decoded_crop, self.landmarks)
