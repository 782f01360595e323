import json
import os
import pickle
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bundle.errors import ConfigError
from bundle.model import import_fmosd, read_preset, trained_model
from bundle.model.checkpoint import Checkpoint, write_checkpoint
from bundle.records.landmarks import LandmarkSet
from bundle.records.radiograph import Template
from tests.reference.channels import flattened_heads
from tests.reference.decoders import global_features, local_features
from tests.reference.ruled_weights import decoder_states, write_ruled
from tests.workflows.running import CONFIGS, TINY_PAPER_NETWORK, read_config, refusal

FEATURES, CHANNELS = 17 * 192, 16  # those of TINY_PAPER_NETWORK
MATCHING = {"strategy": "paper", "k": 3, "patch": 1}

State = dict[str, Any]


@pytest.fixture(scope="module")
def template() -> Template:
    pixels = np.random.default_rng(0).random((120, 100), dtype=np.float32)
    return Template(pixels, LandmarkSet(("a", "b"), np.array([[10.0, 20.0], [60.0, 80.0]])), None, "template")


def write_files(folder: Path, features: int = FEATURES, channels: int = CHANNELS) -> tuple[Path, Path]:
    """The files of both stages: global, local."""
    written = write_ruled(folder, {}, features, channels)
    return written["global"], written["local"]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return write_files(tmp_path)


def convert(files: tuple[Path, Path], template: Template, **network: Any) -> Checkpoint:
    settings = {**TINY_PAPER_NETWORK, **network}
    return import_fmosd(*files, template, network=settings, matching=MATCHING, encoder_weights="random")


def check_against_the_reference(path: Path, in_global: State, in_local: State, size: tuple[int, int]) -> None:
    """The decoders of a checkpoint give what the public code's weights give in the literal decoders."""
    model = trained_model(path, encoder_weights="random")
    features = torch.randn(1, model.network.encoder.channels, 5, 4, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        as_theirs = flattened_heads(features[0], model.network.encoder.heads)
        binned = model.network.binning(as_theirs[None])
        found = model.network.decode_global([features], [size])[0]
        expected = global_features(binned[0], size, in_global["conv_out.weight"], in_global["conv_out.bias"])
        torch.testing.assert_close(found[0], expected, rtol=0, atol=1e-4 * expected.abs().max().item())
        found = model.network.decode_local(features, size)
        state = {name.replace("conv_out2", "conv"): value for name, value in in_local.items()}
        expected = local_features(binned[0], size, state)
        torch.testing.assert_close(found[0], expected, rtol=0, atol=1e-4 * expected.abs().max().item())


def test_the_decoders_are_those_of_the_files(files: tuple[Path, Path], template: Template, tmp_path: Path) -> None:
    checkpoint = convert(files, template)
    path = write_checkpoint(tmp_path / "model.pt", checkpoint)
    check_against_the_reference(path, torch.load(files[0]), torch.load(files[1]), (17, 13))
    assert checkpoint.matching["strategy"] == "paper"
    assert checkpoint.training["local_file"]["name"] == "local.pth"
    assert checkpoint.decoders["local_decoder.up.1.num_batches_tracked"] == 1000


def test_the_real_shapes_with_the_preset(template: Template, tmp_path: Path) -> None:
    network, matching = read_preset(CONFIGS / "paper.json")
    files = write_files(tmp_path, 6528, 256)
    checkpoint = import_fmosd(*files, template, network=network, matching=matching, encoder_weights="random")
    assert checkpoint.network["encoder"]["name"] == "vit_small_patch8_224.dino"
    assert checkpoint.matching["k"] == read_config("paper")["candidates"]
    path = write_checkpoint(tmp_path / "model.pt", checkpoint)
    check_against_the_reference(path, torch.load(files[0]), torch.load(files[1]), (11, 9))


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model", "net"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_wrapped_states(wrapper: str | None, prefix: str, template: Template, tmp_path: Path) -> None:
    plain = convert(write_files(tmp_path), template)
    for name in ("global.pth", "local.pth"):
        state: State = {f"{prefix}{key}": value for key, value in torch.load(tmp_path / name).items()}
        state[f"{prefix}extractor.blocks.0.weight"] = torch.full((2,), torch.nan)
        torch.save(state if wrapper is None else {wrapper: state, "epoch": 3, "optimizer": {}}, tmp_path / name)
    found = convert((tmp_path / "global.pth", tmp_path / "local.pth"), template)
    assert set(found.decoders) == set(plain.decoders)
    assert all(torch.equal(found.decoders[key], plain.decoders[key]) for key in plain.decoders)


def test_the_global_file_decides_about_the_global_convolution(files: tuple[Path, Path], template: Template) -> None:
    torch.save({name: -value for name, value in torch.load(files[0]).items()}, files[0])
    checkpoint = convert(files, template)
    assert torch.equal(checkpoint.decoders["global_decoder.conv.bias"], torch.load(files[0])["conv_out.bias"])


def test_what_an_earlier_version_imported_is_refused(
    files: tuple[Path, Path], template: Template, tmp_path: Path
) -> None:
    """Its channels are in another order, and nothing in the weights themselves shows it."""
    checkpoint = convert(files, template)
    earlier = replace(checkpoint, training={**checkpoint.training, "imported": "FM-OSD"})
    write_checkpoint(tmp_path / "model.pt", earlier)
    said = refusal(lambda: trained_model(tmp_path / "model.pt", encoder_weights="random"))
    assert "by an earlier version" in said and "import the two files again" in said


def test_half_precision(files: tuple[Path, Path], template: Template) -> None:
    torch.save({key: value.half() for key, value in torch.load(files[0]).items()}, files[0])
    assert convert(files, template).decoders["global_decoder.conv.weight"].dtype == torch.float32


class _Unsafe:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


def _changed(path: Path, **values: Any) -> None:
    torch.save({**torch.load(path), **{name.replace("__", "."): value for name, value in values.items()}}, path)


def _without(path: Path, name: str) -> None:
    torch.save({key: value for key, value in torch.load(path).items() if key != name}, path)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:2000])


def _not_finite(shape: tuple[int, ...]) -> Tensor:
    return torch.zeros(shape).index_fill(0, torch.tensor([1]), torch.nan)


#: How a file is spoilt, which of the two, and what is said about it beside its name.
WRONG: dict[str, tuple[Callable[[Path], Any], int, str]] = {
    "missing": (Path.unlink, 0, "there is no file"),
    "missing local": (Path.unlink, 1, "there is no file"),
    "text": (lambda path: path.write_text("no weights"), 0, "no file of weights"),
    "empty": (lambda path: path.write_bytes(b""), 1, "no file of weights"),
    "cut": (_cut, 1, "no file of weights"),
    "pickle": (lambda path: path.write_bytes(pickle.dumps(_Unsafe())), 0, "no file of weights"),
    "unsafe": (lambda path: torch.save({"conv_out.weight": _Unsafe()}, path), 0, "objects other than weights"),
    "module": (lambda path: torch.save(torch.nn.Linear(2, 2), path), 1, "save its state_dict"),
    "list": (lambda path: torch.save([torch.zeros(2)], path), 0, "lacks conv_out.weight, conv_out.bias"),
    "nothing": (lambda path: torch.save({}, path), 0, "lacks conv_out.weight, conv_out.bias"),
    "no bias": (lambda path: _without(path, "conv_out2.bias"), 1, "lacks conv_out2.bias: expected"),
    "no tensor": (lambda path: _changed(path, up__0__bias="x"), 1, "lacks up.0.bias"),
    "channels": (
        lambda path: torch.save(decoder_states(96, 8)[0], path),
        0,
        "do not fit (size mismatch for global_decoder.",
    ),
    "features": (
        lambda path: torch.save(decoder_states(96, 16)[1], path),
        1,
        "do not fit (size mismatch for local_decoder.",
    ),
    "not finite": (lambda path: _changed(path, conv_out__bias=_not_finite((16,))), 0, "conv_out.bias that no"),
    "infinite": (lambda path: _changed(path, up__3__bias=torch.full((16,), torch.inf)), 1, "up.3.bias that no"),
    "variance": (lambda path: _changed(path, up__1__running_var=-torch.ones(16)), 1, "up.1.running_var that no"),
    "integers": (lambda path: _changed(path, up__0__bias=torch.ones(16).long()), 1, "up.0.bias that no"),
    "complex": (lambda path: _changed(path, conv_out__bias=torch.ones(16) * 1j), 0, "conv_out.bias that no"),
    "complex count": (lambda path: _changed(path, up__1__num_batches_tracked=torch.tensor(1j)), 1, "_tracked that no"),
    "global twice": (lambda path: torch.save(decoder_states(FEATURES, 16)[0], path), 1, "lacks up.0.weight"),
    "local twice": (lambda path: torch.save(decoder_states(FEATURES, 16)[1], path), 0, "lacks conv_out.weight"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_file(
    kind: str, files: tuple[Path, Path], template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spoil, index, words = WRONG[kind]
    spoil(files[index])
    said = refusal(lambda: convert(files, template))
    assert str(files[index]) in said and str(files[1 - index]) not in said, said
    assert words in said and "expected" in said, said
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("network", [{"global_channels": 0}, {"local_channels": 0}])
def test_a_network_without_decoders(network: State, files: tuple[Path, Path], template: Template) -> None:
    with pytest.raises(ConfigError, match="expected both decoders"):
        convert(files, template, **network)


class TestPreset:
    def test_the_papers(self) -> None:
        network, matching = read_preset(CONFIGS / "paper.json")
        config = read_config("paper")
        assert network == config["network"] and matching == {**config["matching"], "k": config["candidates"]}

    @pytest.mark.parametrize("text", ["{", json.dumps({"network": {}}), json.dumps([1]), ""])
    def test_another_file(self, text: str, tmp_path: Path) -> None:
        (tmp_path / "a.json").write_text(text)
        said = refusal(lambda: read_preset(tmp_path / "a.json"))
        assert re.search(r"a\.json.*'network' and 'matching'", said)
