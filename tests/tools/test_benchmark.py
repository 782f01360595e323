"""The measurements on tiny images: methods find what they must, costs are those of what was done, tables keep rows."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from bundle.io.template import read_template
from bundle.records.radiograph import Template
from tests.conftest import Sample, Trained
from tests.reference.channels import flattened_heads
from tests.workflows.forked import run_forked
from tests.workflows.running import ROOT
from tools import benchmark
from tools.benchmarking import growth, paper, peers, throughput
from tools.benchmarking.apart import apart, with_seconds
from tools.gpu_check import SMALL


@pytest.fixture
def template(small: Sample) -> Template:
    return read_template(small.image, small.landmarks)


@pytest.mark.parametrize(
    ("prepare", "mean"),
    [
        (peers.FINDERS["nearest neighbour, 480"], 4.0),
        (peers.FINDERS["LighterGlue and affine"], 0.5),
        pytest.param(peers.registration, 4.0, marks=pytest.mark.slow),
    ],
)
def test_peers_find_the_template_in_itself(
    prepare: Callable[[Template], peers.Find], mean: float, template: Template, small: Sample
) -> None:
    with torch.no_grad():
        found = prepare(template)(small.image)
    assert np.linalg.norm(found - template.landmarks.points, axis=1).mean() < mean


def test_presets_are_those_of_the_configurations() -> None:
    assert peers.overlay("fast")["network"]["working_sides"] == [480, 880]
    assert peers.overlay("paper")["matching"]["k"] == 3


def test_the_literal_transformer_has_the_products_weights(template: Template) -> None:
    encoder = {**SMALL["encoder"], "facet": "key", "block": 2}
    network = paper.paper_finder(template, **{**SMALL, "encoder": encoder}).model.network
    image = torch.rand(1, 1, 40, 52)
    found = paper.literal_method(network).encode(image)[0]
    expected = flattened_heads(network.encoder(image)[0], network.encoder.heads)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_the_literal_method_is_scaled_to_all_landmarks(
    template: Template, small: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of seconds 3 for one landmark and 5 for two."""
    monkeypatch.setattr(peers, "paper_finder", lambda template: paper.paper_finder(template, **SMALL))

    def measured(action: Callable[[int], object], count: int) -> tuple[object, float]:
        return action(count), 1.0 + 2.0 * count

    monkeypatch.setattr(peers, "with_seconds", measured)
    assert peers.literal_cost(template, small.image) == (3.0 + 2.0 * 7, 3.0 + 2.0 * 7)


def test_a_measurement_has_the_seconds_and_the_memory_of_its_own_process() -> None:
    value, peak = apart(len, bytes(200_000_000))
    assert value == 200_000_000 and 0.2 < peak < 1.0
    assert with_seconds(sum, range(3_000_000))[1] > 0.01


def test_growth_is_measured_on_a_scene_of_the_size(tmp_path: Path) -> None:
    image, points = growth.make_scene(0.2, 3)
    assert image.size == pytest.approx(0.2e6, rel=0.01) and points.shape == (3, 2)
    assert growth._train(3, 0.2, tmp_path / "model.pt") > 0 and growth._find(3, 0.2, tmp_path / "model.pt") > 0


def test_rows_that_are_not_measured_again_stay(tmp_path: Path) -> None:
    table = tmp_path / "peers.csv"
    default = peers.Row("default", 1.5, 80.0, 0.4, 9.0, 1.2, 19)
    literal = peers.Row(peers.LITERAL, math.nan, math.nan, 300.0, 200.0, 9.0, 1)
    benchmark.kept_with([default, literal], peers.Row, 1, table)
    rows = benchmark.kept_with([default._replace(seconds=0.3)], peers.Row, 1, table)
    assert rows[0] == default._replace(seconds=0.3)
    assert rows[1].seconds == 300.0 and math.isnan(rows[1].mre_mm)
    peers.draw(rows, tmp_path / "peers.svg")
    growth.draw(
        [growth.Row(19, 4.6, 8.0, 0.4, 1.2, 1.1), growth.Row(1, 4.6, 2.0, 0.3, 1.2, 1.1)], tmp_path / "growth.svg"
    )
    assert all(
        (tmp_path / name).read_text(encoding="utf-8").startswith("<?xml") for name in ("peers.svg", "growth.svg")
    )


@pytest.mark.slow
def test_throughput_is_that_of_a_run(trained: Trained, small: Sample) -> None:
    row = throughput.measure(trained.model, small.images, 2, 1)
    assert (row.processes, row.cores, row.images) == (2, 1, 3)
    assert row.processor_seconds * 3 > 1 and row.seconds * 3 > 1 and 0.3 < row.pss_gb < 6


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["peers"], "peers needs --data"),
        (["throughput", "--data", "."], "throughput needs --model"),
        (["throughput", "--data", ".", "--model", "m.pt", "--processes", "1"], "as many --cores as --processes"),
        (["peers", "--data", ".", "--methods", "guess"], "invalid choice: 'guess'"),
    ],
)
def test_bad_arguments_get_a_sentence(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(arguments) == 2
    assert complaint in capsys.readouterr().err


class TestGpuCheck:
    def test_a_rehearsal(self, tmp_path: Path) -> None:
        done = run_forked("tools.gpu_check", ["--device", "cpu"], ROOT, tmp_path)
        assert done.returncode == 0, done.stderr
        for name in ("default", "paper"):
            assert f"{name}, float32: 0.000 pixels from the CPU in the median, 0.000 at most" in done.stdout
            assert f"{name}, bfloat16: " in done.stdout
        assert "hours by extrapolation" in done.stdout and "points are those of the CPU" in done.stdout

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
    def test_no_gpu(self, tmp_path: Path) -> None:
        done = run_forked("tools.gpu_check", [], ROOT, tmp_path)
        assert done.returncode == 2
        assert done.stderr.strip().splitlines() == [
            "error: PyTorch finds no CUDA device: run this where there is one, or rehearse with --device cpu."
        ]
