"""The literal reference and the product with one set of random weights, and the settings of the paper's preset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from monai.bundle import ConfigParser

from bundle.encoders import XFeatEncoder, create_encoder
from bundle.errors import ConfigError
from bundle.networks import NetworkSettings, OneShotNetwork
from bundle.records.validation import validate
from tests.reference.full_size import FullSize, LiteralTransformer, with_public_weights

ROOT = Path(__file__).parents[2]
SEED = 0


@dataclass(frozen=True)
class Preset:
    """Numbers of ``configs/paper.json`` and ``train_decoders.json`` that a measurement needs.

    Attributes:
        network: settings of the network.
        candidates: k of the bidirectional matching.
        batch: warps of a training step.
        global_sigma: of the target, in cells of the decoded map.
        local_sigma: likewise.
        learning_rate: of Adam.
    """

    network: NetworkSettings
    candidates: int
    batch: int
    global_sigma: float
    local_sigma: float
    learning_rate: float


def read_preset(encoder: str) -> Preset:
    """The paper's preset with another encoder: ``dino`` is its own."""
    files = [ROOT / "configs" / name for name in ("train_decoders.json", "paper.json")]
    config = ConfigParser.load_config_files(files)
    settings = config["network"]
    if encoder == "xfeat":
        settings["encoder"] = {"name": "xfeat"}
    elif encoder != "dino":
        settings["encoder"]["name"] = encoder
    network = validate(NetworkSettings, settings, "network")
    return Preset(
        network,
        int(config["candidates"]),
        int(config["batch_size"]),
        float(config["global_sigma"]),
        float(config["local_sigma"]),
        float(config["learning_rate"]),
    )


def product(preset: Preset, device: torch.device) -> OneShotNetwork:
    """The bundle's network."""
    encoder = create_encoder(**preset.network.encoder.model_dump(exclude_unset=True), weights="random")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return OneShotNetwork(preset.network, encoder).to(device).eval()


def reference(preset: Preset, network: OneShotNetwork, device: torch.device) -> FullSize:
    """The literal method with the product's weights.

    Raises:
        ConfigError: when the encoder is no plain transformer with a class token, and not XFeat either.
    """
    assert network.global_decoder is not None and network.local_decoder is not None
    encode: Any = network.encode_local  # XFeat as it is, which brings clipped crops to whole cells
    if not isinstance(network.encoder, XFeatEncoder):
        spec = network.encoder.spec
        with torch.random.fork_rng(devices=[]):  # drawn as the product's encoder draws it, but with all blocks
            torch.manual_seed(0)
            model: Any = timm.create_model(spec["name"], num_classes=0, dynamic_img_size=True).to(device).eval()
        plain = getattr(model, "cls_token", None) is not None and getattr(model, "reg_token", None) is None
        if not plain or getattr(model, "pos_embed", None) is None or not hasattr(model.blocks[0].attn, "qkv"):
            raise ConfigError(
                f"--encoder is {spec['name']}, but there is a literal reference only for xfeat and for plain vision "
                "transformers with a class token such as dino."
            )
        encode = LiteralTransformer(model, spec["stride"], spec["block"])
    heads = network.encoder.heads
    local = with_public_weights(network.local_decoder, heads)
    return FullSize(
        encode,
        with_public_weights(network.global_decoder, heads).conv,
        local.up,
        local.conv,
        network.encoder.fit,
        preset.network.working_sides[0],
        preset.network.local_window,
    )
