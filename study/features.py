"""What an image looks like to the bundle's encoder, in a small map, to find the image of the most typical shape."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bundle.encoders import EncoderSettings
from bundle.io.radiographs import read_radiograph
from bundle.model import build_network
from bundle.networks import NetworkSettings, OneShotNetwork
from bundle.selection import WORKING_SIDE, describe_images
from bundle.writers.files import atomic_file
from study.annotations import file_state


class ImageFeatures:
    """Maps of images, kept in files, so that each image is read once.

    Args:
        folder: where the maps are kept.
        encoder: the settings of the encoder.
        weights: where its weights come from, see :func:`bundle.model.build_network`.
    """

    def __init__(self, folder: Path, encoder: Mapping[str, Any] | None = None, weights: str = "hub") -> None:
        self.folder = folder
        self.encoder = dict(encoder or {"name": "xfeat"})
        self.weights = weights
        self._network: OneShotNetwork | None = None

    def of(self, image: Path) -> torch.Tensor:
        """The map of one image file: shape (C, h, w), float32 with the digits of float16.

        Raises:
            BundleError: when the file is no radiograph.
        """
        network = self._describing()
        state = repr((*file_state(image), network.encoder.digest, WORKING_SIDE))
        kept = self.folder / f"{hashlib.sha256(state.encode()).hexdigest()[:32]}.npy"
        if kept.is_file():
            return torch.from_numpy(np.load(kept)).float()
        (found,) = describe_images([torch.from_numpy(read_radiograph(image).pixels)[None, None]], network)
        found = found.half()
        with atomic_file(kept, binary=True) as file:
            np.save(file, found.numpy())
        return found.float()

    def _describing(self) -> OneShotNetwork:
        if self._network is None:
            settings = NetworkSettings(
                encoder=EncoderSettings(**self.encoder),
                working_sides=(WORKING_SIDE,),
                negative=False,
                whitening=False,
                local_channels=0,
            )
            self._network = build_network(settings, encoder_weights=self.weights)
        return self._network
