"""Exported parts in ONNX Runtime against the network itself, with tiny networks and images of odd sizes."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bundle.errors import ExportError
from bundle.export import GlobalPart, LocalPart, SteadyInstanceNorm, export_model, largest_difference, with_steady_norms
from bundle.io.overwriting import file_digest
from bundle.matching.settings import MatchingSettings
from bundle.model import build_network, trained_model
from bundle.model.checkpoint import Checkpoint, write_checkpoint
from bundle.networks import NetworkSettings, OneShotNetwork
from bundle.networks.network import resize
from bundle.records.landmarks import LandmarkSet
from bundle.records.radiograph import Template
from tests.workflows.running import TINY_NETWORK, TINY_PAPER_NETWORK, refusal


@pytest.mark.parametrize("shape", [(1, 1, 40, 33), (2, 3, 7, 5), (1, 1, 1, 9)])
def test_it_equals_the_plain_norm(shape: tuple[int, ...]) -> None:
    images = torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 3 + 5
    found = SteadyInstanceNorm(1e-5)(images)
    torch.testing.assert_close(found, nn.InstanceNorm2d(shape[1])(images), rtol=1e-10, atol=1e-12)


def test_an_image_of_one_value() -> None:
    assert torch.equal(SteadyInstanceNorm(1e-5)(torch.full((1, 1, 8, 8), 0.25)), torch.zeros(1, 1, 8, 8))


def test_only_norms_without_weights_and_statistics_are_replaced() -> None:
    plain, weighted, tracking = (
        nn.InstanceNorm2d(2),
        nn.InstanceNorm2d(2, affine=True),
        nn.InstanceNorm2d(2, track_running_stats=True),
    )
    module = nn.Sequential(nn.Sequential(plain), weighted, tracking).eval()
    changed = with_steady_norms(module)
    assert [type(layer) for layer in changed[0]] == [SteadyInstanceNorm]
    assert [type(layer) for layer in changed[1:]] == [nn.InstanceNorm2d] * 2
    assert module[0][0] is plain, "the original stays"
    images = torch.rand(2, 2, 6, 5, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(changed(images), module(images))


SIZE = (331, 277)
XFEAT = {**TINY_NETWORK, "working_sides": [96, 160], "local_channels": 8}
NEGATIVE = {**TINY_NETWORK, "negative": True, "local_channels": 8}


def write_model(path: Path, network: dict[str, Any]) -> Path:
    pixels = np.random.default_rng(0).random((211, 173), dtype=np.float32)
    points = np.array([[10.0, 20.0], [60.0, 80.0], [170.0, 200.0]])
    template = Template(pixels, LandmarkSet(("a", "b", "c"), points), None, "template")
    built = build_network(NetworkSettings(**network), encoder_weights="random")
    matching = MatchingSettings().as_dict()
    state, settings = built.state_dict(), built.settings.as_dict()
    return write_checkpoint(path, Checkpoint(state, template, settings, matching, built.encoder.digest, {}))


def run_file(path: Path, *inputs: Tensor) -> list[Tensor]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_inputs()]
    found = session.run(None, {name: value.numpy() for name, value in zip(names, inputs, strict=True)})
    return [torch.from_numpy(value) for value in found]


def image(size: tuple[int, int], seed: int = 4) -> Tensor:
    return torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(seed))


def described(network: OneShotNetwork, query: Tensor, sizes: list[tuple[int, int]]) -> list[Tensor]:
    """What a global decoder gives as it is, for the fusion; all else of length one."""
    levels = network.decode_global(network.encode_global(query), sizes)
    return levels if network.global_decoder is not None else [F.normalize(level, dim=1) for level in levels]


def check_files(folder: Path, network: OneShotNetwork, crops: int) -> None:
    """Both files against the network, which resizes by itself."""
    query = image(SIZE)
    sizes = network.global_sizes(SIZE)
    with torch.no_grad():
        expected = described(network, query, sizes)
    compare(run_file(folder / "global.onnx", *network.views(query)), expected)
    side = network.settings.local_window
    batch = torch.cat([image((side, side), seed) for seed in range(crops)])
    with torch.no_grad():
        features = network.encode_local(batch)
        decoded = network.decode_local(features, network.settings.decoded_crop)
    fitted = resize(batch, network.encoder.fit((side, side)), "bilinear")
    compare(run_file(folder / "local.onnx", fitted), [features, decoded])


def compare(found: list[Tensor], expected: list[Tensor]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4 * other.abs().max().item())


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """XFeat at two scales, with crops whose side is no multiple of its stride."""
    folder = tmp_path_factory.mktemp("export")
    path = write_model(folder / "model.pt", {**XFEAT, "local_window": 60})
    export_model(path, SIZE, folder)
    return folder


def test_the_files_give_what_the_network_gives(exported: Path) -> None:
    check_files(exported, trained_model(exported / "model.pt").network, crops=3)


def test_the_description(exported: Path) -> None:
    content = json.loads((exported / "export.json").read_text(encoding="utf-8"))
    assert content["model"] == {"file": "model.pt", "sha256": file_digest(exported / "model.pt")}
    assert content["image_size"] == {"rows": 331, "columns": 277}
    assert content["versions"]["onnx"] == version("onnx") and content["versions"]["opset"] == 20
    parts = content["parts"]
    assert [item["shape"] for item in parts["global"]["inputs"]] == [[1, 1, 96, 80], [1, 1, 160, 136]]
    assert parts["local"]["inputs"] == [{"name": "crops", "shape": [3, 1, 64, 64]}]
    for part in parts.values():
        session = onnxruntime.InferenceSession(exported / part["file"], providers=["CPUExecutionProvider"])
        for kind, found in (("inputs", session.get_inputs()), ("outputs", session.get_outputs())):
            assert [(item["name"], item["shape"]) for item in part[kind]] == [(item.name, item.shape) for item in found]
    outputs = parts["global"]["outputs"] + parts["local"]["outputs"]
    assert [item["unit_length"] for item in outputs] == [True, True, False, False]
    assert all(0 <= item["largest_difference"] < 1e-4 for item in outputs)


class TestParts:
    @pytest.mark.parametrize("settings", [NEGATIVE, XFEAT, TINY_PAPER_NETWORK], ids=["xfeat", "plain", "paper"])
    def test_they_are_the_network(self, settings: dict[str, Any]) -> None:
        network = build_network(NetworkSettings(**settings), encoder_weights="random")
        query, points = image(SIZE), torch.tensor([[20.0, 30.0], [276.0, 330.0]])
        whole, local = GlobalPart(network, query), LocalPart(network, query, points, 3)
        with torch.no_grad():
            expected = described(network, query, network.global_sizes(SIZE))
            found = whole(*whole.example)
            features, decoded = local(*local.example)
        assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
        (crops,) = local.example
        assert crops.shape == (3, 1, 64, 64) and torch.equal(crops[0], crops[2]), "in turn"
        assert torch.equal(decoded, network.decode_local(features, network.settings.decoded_crop))

    def test_negatives_come_last(self) -> None:
        network = build_network(NetworkSettings(**{**NEGATIVE, "working_sides": [96, 160]}))
        about = GlobalPart(network, image(SIZE)).about
        assert [(item["input"], item["negative"]) for item in about] == [
            ("image_0", False),
            ("image_1", False),
            ("image_0", True),
            ("image_1", True),
        ]

    def test_an_image_that_is_too_narrow(self) -> None:
        network = build_network(NetworkSettings(**TINY_PAPER_NETWORK), encoder_weights="random")
        network.encoder.minimum_side = 128
        said = refusal(lambda: GlobalPart(network, image(SIZE)))
        assert "331 rows and 277 columns becomes 114 x 96" in said


class Program:
    """What PyTorch's exporter gives, with outputs that are off by a share."""

    def __init__(self, part: Any, off: float) -> None:
        self.part, self.off, self.model_proto = part, off, self

    def SerializeToString(self) -> bytes:
        return b"graph"

    def __call__(self, *inputs: Tensor) -> list[Tensor]:
        with torch.no_grad():
            return [(1 + self.off) * output for output in self.part(*inputs)]


class TestRefusals:
    def test_a_part_that_differs_is_not_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write_model(tmp_path / "model.pt", XFEAT)
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "export.json").write_text("old")
        monkeypatch.setattr(torch.onnx, "export", lambda part, *_, **__: Program(part, 0.001))
        said = refusal(lambda: export_model(path, SIZE, tmp_path / "out"))
        assert "the global part gives other" in said and "largest difference 1.0e-03, at most 1.0e-04" in said
        assert [file.name for file in (tmp_path / "out").iterdir()] == ["export.json"], "the older export stays"

    def test_a_part_that_cannot_be_translated(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise torch.onnx.OnnxExporterError("not supported\nand a long story")

        monkeypatch.setattr(torch.onnx, "export", fail)
        path = write_model(tmp_path / "model.pt", XFEAT)
        said = refusal(lambda: export_model(path, SIZE, tmp_path, opset=18))
        assert "global part cannot be written as ONNX with opset 18" in said and "not supported); try" in said

    def test_packages_that_are_missing(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr("bundle.export.find_spec", lambda name: None if name == "onnxscript" else name)
        with pytest.raises(ExportError, match=r"package\(s\) onnxscript: .* requirements-export.txt"):
            export_model(tmp_path / "model.pt", SIZE, tmp_path)


def test_files_of_an_earlier_export_are_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_model(tmp_path / "model.pt", {**XFEAT, "local_channels": 0})
    (tmp_path / "local.onnx").write_text("old")
    (tmp_path / "mine.onnx").write_text("mine")
    monkeypatch.setattr(torch.onnx, "export", lambda part, *_, **__: Program(part, 0.0))
    content = export_model(path, SIZE, tmp_path)
    assert list(content["parts"]) == ["global", "local"]
    assert [output["name"] for output in content["parts"]["local"]["outputs"]] == ["features"]
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == ["export.json", "global.onnx", "local.onnx", "mine.onnx", "model.pt"]
    assert (tmp_path / "local.onnx").read_bytes() == b"graph"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (torch.tensor([1.0, -4.0]), 0.0),
        (torch.tensor([1.5, -4.0]), 0.125),
        (torch.tensor([1.0, torch.nan]), float("inf")),
        (torch.tensor([1.0]), float("inf")),
    ],
)
def test_the_difference_is_a_share_of_the_largest_value(found: Tensor, expected: float) -> None:
    assert largest_difference([found], [torch.tensor([1.0, -4.0])]) == [pytest.approx(expected)]
