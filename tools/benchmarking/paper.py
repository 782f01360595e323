"""The paper's preset, and the literal method of ``tests/reference``, with the same random weights."""

from typing import Any

import timm
import torch
from monai.bundle import ConfigParser

from bundle import CONFIGS, LandmarkFinder
from bundle.matching.settings import MatchingSettings
from bundle.model import Model, build_network
from bundle.networks import NetworkSettings, OneShotNetwork
from bundle.records.radiograph import Template
from tests.reference import full_size


def overlay(name: str) -> dict[str, Any]:
    """What a preset of ``configs`` says of network and matching."""
    parser = ConfigParser(ConfigParser.load_config_file(CONFIGS / f"{name}.json"))
    return {key: parser.get_parsed_content(key) for key in ("network", "matching")}


def paper_finder(template: Template, device: str = "cpu", precision: str = "float32", **network: Any) -> LandmarkFinder:
    """The preset with both decoders.

    Args:
        template: the annotated image.
        device: where the network runs.
        precision: what it computes in.
        network: settings that differ from the preset's.
    """
    preset = overlay("paper")
    settings = NetworkSettings.model_validate({**preset["network"], **network})
    built = build_network(settings, encoder_weights="random", device=device, precision=precision)
    return LandmarkFinder(Model(built, template, MatchingSettings.model_validate(preset["matching"]), trained=True))


def literal_method(network: OneShotNetwork) -> full_size.FullSize:
    """The literal method with the weights of a network whose encoder is a plain transformer with a class token."""
    assert network.global_decoder is not None and network.local_decoder is not None
    spec, heads = network.encoder.spec, network.encoder.heads
    with torch.random.fork_rng(devices=[]):  # drawn as the product's encoder draws it, but with all blocks
        torch.manual_seed(0)
        model = timm.create_model(spec["name"], num_classes=0, dynamic_img_size=True).eval()
    local = full_size.with_public_weights(network.local_decoder, heads)
    return full_size.FullSize(
        full_size.LiteralTransformer(model, spec["stride"], spec["block"]),
        full_size.with_public_weights(network.global_decoder, heads).conv,
        local.up,
        local.conv,
        network.encoder.fit,
        network.settings.working_sides[0],
        network.settings.local_window,
    )
