"""What an image looks like to the bundle's encoder, in one vector, to find the image that is most like the others."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from bundle.io.radiographs import read_radiograph
from bundle.networks.encoders import FrozenEncoder, create_encoder
from bundle.networks.resampling import resize, working_size
from label_server.annotations import file_state
from label_server.predictor import read_configuration

#: Long side in pixels at which an image is looked at: what is where matters, not the detail.
SIDE = 320

#: The encoder's map is averaged over so many rows and columns of equal size.
CELLS = 8


class ImageFeatures:
    """Vectors of images, kept in files, so that each image is read once.

    Args:
        bundle: the bundle's folder, whose configuration names the encoder.
        overlays: configurations over it.
        folder: where the vectors are kept.
    """

    def __init__(self, bundle: Path, overlays: Sequence[Path], folder: Path) -> None:
        self.bundle = bundle
        self.overlays = tuple(overlays)
        self.folder = folder
        self._encoder: FrozenEncoder | None = None

    def of(self, image: Path) -> np.ndarray:
        """The vector of one image file: shape (channels x CELLS x CELLS,), float32, of length one.

        Raises:
            BundleError: when the file is no radiograph.
        """
        encoder = self._frozen_encoder()
        state = repr((*file_state(image), encoder.digest, SIDE, CELLS))
        kept = self.folder / f"{hashlib.sha256(state.encode()).hexdigest()[:32]}.npy"
        if kept.is_file():
            return np.load(kept)
        pixels = torch.from_numpy(read_radiograph(image).pixels)[None, None]
        size = encoder.fit(working_size((pixels.shape[-2], pixels.shape[-1]), SIDE, "long"))
        cells = F.adaptive_avg_pool2d(encoder(resize(pixels, size, "bilinear")), CELLS)
        vector = F.normalize(cells.flatten(), dim=0).numpy().astype(np.float32)
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(".partial")
        with partial.open("wb") as file:
            np.save(file, vector)
        partial.replace(kept)
        return vector

    def _frozen_encoder(self) -> FrozenEncoder:
        if self._encoder is None:
            parser = read_configuration(self.bundle, "train", self.overlays)
            network, weights = (parser.get_parsed_content("network"), parser.get_parsed_content("encoder_weights"))
            self._encoder = create_encoder(**network.get("encoder", {"name": "xfeat"}), weights=weights)
        return self._encoder


def mean_similarity(vectors: np.ndarray) -> np.ndarray:
    """Mean cosine of each image to all others.

    Args:
        vectors: (M, D), of length one, of M images, two at least.

    Returns:
        (M,), from -1 to 1; the largest is that of the most representative image.
    """
    total = vectors @ vectors.sum(axis=0)
    return (total - np.einsum("md,md->m", vectors, vectors)) / (len(vectors) - 1)
