from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import timm
import torch

from bundle.errors import CheckpointError, ConfigError
from bundle.matching.settings import MatchingSettings
from bundle.model import build_network, open_model, save_model, trained_model, zero_shot_model
from bundle.model.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from bundle.networks import NetworkSettings, OneShotNetwork
from bundle.records.landmarks import LandmarkSet
from bundle.records.radiograph import Template
from tests.reference.models import shallow_model
from tests.workflows.running import TINY_NETWORK


@pytest.fixture(scope="module")
def template() -> Template:
    pixels = np.random.default_rng(0).random((120, 100), dtype=np.float32)
    return Template(pixels, LandmarkSet(("a", "b"), np.array([[10.0, 20.0], [60.0, 80.0]])), None, "template")


def save_and_find(path: Path, network: OneShotNetwork, template: Template) -> Path:
    save_model(path, network, template, MatchingSettings(), {})
    return path


@pytest.fixture(scope="module")
def path(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = build_network(NetworkSettings(**TINY_NETWORK), seed=3)
    matching = {**MatchingSettings().as_dict(), "k": 2}
    checkpoint = Checkpoint(
        network.state_dict(), template, network.settings.as_dict(), matching, network.encoder.digest, {}
    )
    return write_checkpoint(tmp_path_factory.mktemp("model") / "model.pt", checkpoint)


def test_the_seed_decides_about_the_decoders() -> None:
    settings = NetworkSettings(**TINY_NETWORK, local_channels=8)
    state = torch.random.get_rng_state()
    first, again, other = (build_network(settings, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state), "the caller's random numbers go on"
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_without_training_there_is_no_decoder(template: Template) -> None:
    model = zero_shot_model(template, network=TINY_NETWORK, matching={"k": 5})
    assert not model.trained and model.matching.k == 5 and model.template is template
    assert model.network.local_decoder is None and model.network.global_decoder is None
    assert not model.network.training
    if model.network.whitening is not None:
        matrices = model.network.whitening.matrices
        assert torch.isfinite(matrices).all() and not torch.equal(matrices[0], torch.eye(len(matrices[0])))


def test_the_model_of_a_checkpoint(path: Path, template: Template) -> None:
    model = trained_model(path)
    expected = build_network(NetworkSettings(**TINY_NETWORK), seed=3).state_dict()
    found = model.network.state_dict()
    assert model.trained and set(found) == set(expected)
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert model.template.landmarks.names == template.landmarks.names
    assert model.matching.k == 2


def test_settings_of_the_matching_replace_those_of_the_checkpoint(path: Path) -> None:
    matching = trained_model(path, matching={"k": 7}).matching
    assert matching.k == 7 and matching.patch == MatchingSettings().patch


def test_the_encoder_that_is_expected(path: Path) -> None:
    assert trained_model(path, network={"encoder": {"name": "xfeat"}}).trained
    with pytest.raises(CheckpointError, match="xfeat, but the configuration asks for other"):
        trained_model(path, network={"encoder": {"name": "other"}})


class TestNamesOfOneEncoder:
    """A short name and timm's name, with defaults written out or not, are one encoder."""

    LONG: ClassVar = {"name": "vit_small_patch8_224.dino", "facet": "key", "block": 8, "stride": 4}

    @pytest.fixture(params=[{"name": "dino_vits8"}, LONG], ids=["short", "long"])
    def trained_with(
        self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, template: Template, tmp_path: Path
    ) -> Path:
        sizes = {"depth": 9, "embed_dim": 24, "num_heads": 2}
        monkeypatch.setattr(timm, "create_model", lambda name, **options: shallow_model(name, **{**options, **sizes}))
        network = build_network(NetworkSettings(**{**TINY_NETWORK, "encoder": request.param}), encoder_weights="random")
        return save_and_find(tmp_path / "model.pt", network, template)

    def test_the_checkpoint_says_it_in_full(self, trained_with: Path) -> None:
        assert read_checkpoint(trained_with).network["encoder"] == {**self.LONG, "seed": 0}

    @pytest.mark.parametrize("expected", [None, {"name": "dino_vits8"}, {"name": "dino_vits8", "block": 8}, LONG])
    def test_either_name_opens_it(self, expected: dict[str, object] | None, trained_with: Path) -> None:
        network = {} if expected is None else {"encoder": expected}
        assert trained_model(trained_with, network=network, encoder_weights="random").trained

    @pytest.mark.parametrize(
        "expected", [{"name": "dino_vits16"}, {"name": "dino_vits8", "stride": 8}, {"name": "xfeat"}]
    )
    def test_another_encoder_does_not(self, expected: dict[str, object], trained_with: Path) -> None:
        with pytest.raises(CheckpointError, match="was trained with the encoder vit_small_patch8_224"):
            trained_model(trained_with, network={"encoder": expected}, encoder_weights="random")


def test_a_checkpoint_or_a_template_or_both_where_they_belong_together(path: Path, template: Template) -> None:
    assert not open_model(model_path=None, template=template, network=TINY_NETWORK).trained
    assert open_model(model_path=path, template=None).trained
    assert open_model(model_path=path, template=template).trained
    for missing in (None, path.with_name("none.pt")):
        model = open_model(model_path=missing, template=None, network=TINY_NETWORK)
        assert model.network.settings == NetworkSettings(**TINY_NETWORK) and not model.trained
        with pytest.raises(ConfigError, match="--template_image"):
            model.template.require()
    with pytest.raises(CheckpointError, match="no trained model at"):
        open_model(model_path=path.with_name("none.pt"), template=template)
    moved = replace(template, landmarks=LandmarkSet(template.landmarks.names, template.landmarks.points + 1))
    other = replace(template, pixels=1 - template.pixels, name="other.png")
    for wrong in (moved, other, replace(template, others=(other,))):
        with pytest.raises(CheckpointError, match="leave out --template_image"):
            open_model(model_path=path, template=wrong)


@pytest.mark.parametrize("kind", ["network", "matching"])
def test_unknown_settings(kind: str, template: Template) -> None:
    with pytest.raises(ConfigError, match=f"{kind} has no key 'wrong'"):
        zero_shot_model(template, **{kind: {"wrong": 1}})
