"""What an image looks like to the bundle's encoder, in a small map, to find the image of the most typical shape."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from bundle.io.radiographs import read_radiograph
from bundle.model import build_network
from bundle.networks import NetworkSettings, OneShotNetwork
from bundle.selection import describe_images
from bundle.selection.typical import WORKING_SIDE
from bundle.writers.atomic import atomic_file
from label_server.annotations import file_state
from label_server.predictor import read_configuration


class ImageFeatures:
    """Maps of images, kept in files, so that each image is read once.

    Args:
        bundle: the bundle's folder, whose configuration names the encoder.
        overlays: configurations over it.
        folder: where the maps are kept.
    """

    def __init__(self, bundle: Path, overlays: Sequence[Path], folder: Path) -> None:
        self.bundle = bundle
        self.overlays = tuple(overlays)
        self.folder = folder
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
            parser = read_configuration(self.bundle, "train", self.overlays)
            network, weights = (parser.get_parsed_content("network"), parser.get_parsed_content("encoder_weights"))
            settings = NetworkSettings(
                encoder=network.get("encoder", {"name": "xfeat"}),
                working_sides=(WORKING_SIDE,),
                negative=False,
                whitening=False,
                local_channels=0,
            )
            self._network = build_network(settings, encoder_weights=weights)
        return self._network
