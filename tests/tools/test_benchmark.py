"""Tests of the benchmark: every task on a tiny network, the report, and messages for bad arguments."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bundle.errors import ConfigError
from bundle.networks import NetworkSettings
from tests.reference.channels import flattened_heads
from tests.workflows.forked import run_forked
from tests.workflows.running import ROOT
from tools import benchmark
from tools.benchmarking import methods, tasks

CPU = torch.device("cpu")


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> methods.Preset:
    """Small images, few landmarks, and the paper's network in small."""
    monkeypatch.setattr(tasks, "IMAGE_SIZE", (520, 480))
    monkeypatch.setattr(tasks, "LANDMARKS", 4)
    preset = methods.read_preset("xfeat")
    small = {"working_sides": (64,), "local_window": 64, "global_channels": 8, "local_channels": 8}
    return replace(preset, network=preset.network.model_copy(update=small))


@pytest.mark.parametrize("method", benchmark.METHODS)
@pytest.mark.parametrize("task", tasks.TASKS)
def test_every_task_runs_and_says_what_it_was_scaled_from(tiny: methods.Preset, task: str, method: str) -> None:
    timing = tasks.TASKS[task][method](tiny, CPU, 1)
    assert len(timing.seconds) == 1 and timing.seconds[0] > 0
    expected = {
        ("inference", "reference"): {"landmarks": 2},
        ("train_global", "reference"): {"warps": 1},
        ("train_local", "reference"): {"crops": 1},
        ("train_local", "product"): {"crops": 4},
    }
    assert timing.scaled_from == expected.get((task, method), {})


def test_the_papers_preset_is_read_and_only_its_encoder_changed() -> None:
    dino, other = methods.read_preset("dino"), methods.read_preset("vit_tiny_patch16_224")
    assert dino.network.encoder.name == "vit_small_patch8_224.dino"
    assert (dino.candidates, dino.batch, dino.global_sigma, dino.local_sigma) == (3, 4, 5.0, 2.0)
    assert replace(other, network=other.network.model_copy(update={"encoder": dino.network.encoder})) == dino
    assert isinstance(dino.network, NetworkSettings) and dino.network.local_window == 224


def test_the_literal_transformer_has_the_products_weights() -> None:
    preset = methods.read_preset("vit_tiny_patch16_224")
    encoder = preset.network.encoder.model_copy(update={"block": 2})
    small = {"encoder": encoder, "global_channels": 8, "local_channels": 8}
    preset = replace(preset, network=preset.network.model_copy(update=small))
    network = methods.product(preset, CPU)
    image = torch.rand(1, 1, 40, 52)
    found = methods.reference(preset, network, CPU).encode(image)[0]
    expected = flattened_heads(network.encoder(image)[0], network.encoder.heads)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_encoders_without_a_literal_reference_are_refused() -> None:
    preset = methods.read_preset("vit_small_patch14_reg4_dinov2")
    with pytest.raises(ConfigError, match="a literal reference only for xfeat and for plain vision transformers"):
        methods.reference(preset, methods.product(preset, CPU), CPU)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Figures without measuring."""
    calls: list[Any] = []

    def apart(_arguments: Any, task: str, method: str) -> dict[str, Any]:
        calls.append((task, method))
        scaled = {"landmarks": 2} if (task, method) == ("inference", "reference") else {}
        seconds = [30.0, 10.0, 20.0] if method == "reference" else [2.0, 2.5, 1.5]
        return {"seconds": seconds, "scaled_from": scaled, "peak_memory_gb": 1.5}

    monkeypatch.setattr(benchmark, "measure_in_own_process", apart)
    return calls


def test_the_report_has_its_keys(measured: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "new" / "report.json"
    assert benchmark.main(["--encoder", "xfeat", "--output", str(file)]) == 0
    report = json.loads(file.read_text(encoding="utf-8"))
    assert len(measured) == 6
    for task in ("inference", "train_global", "train_local"):
        entry = report[task]
        assert (entry["reference_s"], entry["product_s"], entry["speedup"]) == (20.0, 2.0, 10.0)
        assert (entry["reference_spread_s"], entry["product_spread_s"]) == ([10.0, 30.0], [1.5, 2.5])
    assert report["inference"]["peak_memory_gb"] == 1.5
    assert report["inference"]["scaled_from"] == {"reference": {"landmarks": 2}}
    assert (report["encoder"], report["device"], report["image_size"]) == ("xfeat", "cpu", [2400, 1935])
    assert "10.0x" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--repeats", "0"], "--repeats is 0, expected at least 1"),
        (["--only", "inference", "guess"], "expected one of inference, train_global, train_local"),
        (["--encoder", "no_such_model", "--only", "inference", "product"], "no_such_model"),
    ],
)
def test_bad_arguments_get_a_sentence(arguments: list[str], complaint: str, tmp_path: Path) -> None:
    done = run_forked("tools.benchmark", arguments, ROOT, tmp_path)
    assert done.returncode == 2
    assert complaint in done.stderr and "Traceback" not in done.stderr
