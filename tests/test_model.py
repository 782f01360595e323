from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bundle.checkpoint import Checkpoint, write_checkpoint
from bundle.errors import CheckpointError, ConfigError
from bundle.landmarks import LandmarkSet
from bundle.matching.settings import MatchingSettings
from bundle.model import build_network, open_model, trained_model, zero_shot_model
from bundle.networks import NetworkSettings
from bundle.template import Template
from tests.workflows.running import TINY_NETWORK


@pytest.fixture(scope="module")
def template() -> Template:
    pixels = np.random.default_rng(0).random((120, 100), dtype=np.float32)
    return Template(pixels, LandmarkSet(("a", "b"), np.array([[10.0, 20.0], [60.0, 80.0]])), None, "template")


@pytest.fixture(scope="module")
def path(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = build_network(NetworkSettings(**TINY_NETWORK), seed=3)
    matching = {**MatchingSettings().as_dict(), "k": 2}
    checkpoint = Checkpoint(
        network.state_dict(), template, network.settings.as_dict(), matching, network.encoder.digest, {}
    )
    return write_checkpoint(tmp_path_factory.mktemp("model") / "model.pt", checkpoint)


def test_the_seed_decides_about_the_decoders() -> None:
    settings = NetworkSettings(**TINY_NETWORK)
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


def test_a_template_goes_before_a_checkpoint(path: Path, template: Template) -> None:
    assert not open_model(model_path=path, template=template, network=TINY_NETWORK).trained
    assert open_model(model_path=path, template=None).trained
    with pytest.raises(ConfigError, match="--template_image"):
        open_model(model_path=None, template=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["network", "matching"])
def test_unknown_settings(kind: str, template: Template) -> None:
    with pytest.raises(ConfigError, match=f"{kind} has no setting wrong"):
        zero_shot_model(template, **{kind: {"wrong": 1}})
