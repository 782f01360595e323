"""The overlays that choose an encoder: each builds, encodes, and finds landmarks without training."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from bundle.encoders import CATALOGUE, EncoderSettings
from bundle.encoders.catalogue import card_of
from bundle.model import build_network
from bundle.networks import NetworkSettings
from tests.conftest import Sample
from tests.reference.models import shallow_model
from tests.workflows.running import CONFIGS, read_config, run

OVERLAYS = sorted(path.stem for path in CONFIGS.glob("encoder_*.json"))
TRANSFORMERS = [name for name in OVERLAYS if name != "encoder_xfeat"]


def network_of(overlay: str) -> dict[str, Any]:
    return read_config(overlay)["+network"]


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """timm makes transformers of nine narrow blocks: the ninth is read."""
    sizes = {"depth": 9, "embed_dim": 24, "num_heads": 2}
    monkeypatch.setattr(timm, "create_model", lambda name, **options: shallow_model(name, **{**options, **sizes}))


def test_there_is_one_for_every_family() -> None:
    families = {card.family for card in CATALOGUE.values()}
    chosen = [card_of(EncoderSettings(**network_of(overlay)["encoder"]).resolved()["name"]) for overlay in TRANSFORMERS]
    assert all(card is not None for card in chosen)
    assert len(chosen) == len(families)
    assert {card.family for card in chosen if card is not None} == families


@pytest.mark.parametrize("overlay", TRANSFORMERS)
def test_working_sides_are_whole_patches_and_the_settings_are_the_defaults_of_the_catalogue(overlay: str) -> None:
    network = network_of(overlay)
    resolved = EncoderSettings(**network["encoder"]).resolved()
    card = card_of(resolved["name"])
    assert card is not None
    assert [side % card.patch for side in network["working_sides"]] == [0] * len(network["working_sides"])
    assert resolved == {"name": card.timm_name, "facet": "key", "block": 8, "stride": card.stride, "seed": 0}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_it_builds_and_encodes(overlay: str) -> None:
    settings = NetworkSettings(**network_of(overlay))
    network = build_network(settings, encoder_weights="random")
    small = build_network(
        NetworkSettings(**{**network_of(overlay), "working_sides": [min(settings.working_sides)]}),
        encoder_weights="random",
    )
    image = torch.rand(1, 1, 320, 250)
    size = small.global_sizes((320, 250))[0]
    features = small.encode_global(image)[0]
    encoder = network.encoder
    if overlay == "encoder_xfeat":
        expected = tuple(side // 8 for side in size)
    else:
        expected = tuple(1 + (side - encoder.minimum_side) // encoder.stride for side in size)
    assert features.shape == (1, encoder.channels, *expected)
    crops = network.encode_local(torch.rand(2, 1, settings.local_window, settings.local_window))
    assert crops.shape[:2] == (2, encoder.channels)
    assert crops.isfinite().all()


@pytest.mark.parametrize("overlay", TRANSFORMERS)
def test_it_finds_landmarks_without_training(overlay: str, small: Sample, tmp_path: Path) -> None:
    """At the smallest working size and with small crops; the encoder is the overlay's."""
    smaller = {"network#working_sides": [min(network_of(overlay)["working_sides"])]}
    smaller |= {"network#local_side": 320, "network#local_window": 64}
    image = sorted(small.images.iterdir())[0]
    run(
        "inference",
        overlay,
        **small.template,
        **smaller,
        dataset_dir=image,
        encoder_weights="random",
        output_dir=tmp_path,
        writers=["json"],
    )
    result = json.loads(next(tmp_path.glob("*.json")).read_text(encoding="utf-8"))
    assert len(result["landmarks"]) == 8
    placed = [landmark for landmark in result["landmarks"] if landmark["x"] is not None]  # others are missing
    points = torch.tensor([[landmark["x"], landmark["y"]] for landmark in placed])
    # Random features can lead beyond the border, but no further than a crop.
    assert len(points) and ((points >= -32) & (points <= 320 + 32)).all()
