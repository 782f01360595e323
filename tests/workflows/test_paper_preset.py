"""The preset of the paper, with a small transformer of random weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bundle.model.checkpoint import read_checkpoint
from tests.conftest import Sample
from tests.workflows.running import (
    TINY_PAPER_TRAINING,
    at_bundle_root,
    content,
    interrupt,
    open_workflow,
    refusal,
    run,
    run_until_killed,
    train,
    train_decoders,
)

#: Two epochs of two steps for each decoder.
TRAINING = {**TINY_PAPER_TRAINING, "batch_size": 2, "global_iterations": 4, "local_iterations": 4}


@pytest.fixture(scope="module")
def model(small: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("paper")
    train_decoders(**TRAINING, **small.template, model_path=folder / "model.pt", output_dir=folder / "training")
    return folder / "model.pt"


def test_both_decoders_are_trained(model: Path) -> None:
    checkpoint = read_checkpoint(model)
    kinds = {key.split(".")[0] for key in checkpoint.decoders}
    assert kinds == {"global_decoder", "local_decoder"}
    assert checkpoint.matching["strategy"] == "paper"
    assert checkpoint.training["global_epochs"] == checkpoint.training["local_epochs"] == 2
    assert not list((model.parent / "training").rglob("*.pt"))


def test_it_is_evaluated(model: Path, small: Sample, tmp_path: Path) -> None:
    run(
        "evaluate",
        "paper",
        "head",
        network=TINY_PAPER_TRAINING["network"],
        model_path=model,
        encoder_weights="random",
        dataset_dir=small.images,
        landmarks=small.truth,
        output_dir=tmp_path,
    )
    report = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert (report["images"], report["landmarks"]) == (3, 8)
    assert 0 < report["mre_px"] < np.hypot(320, 320) and report["mre_mm"] > 0


@pytest.mark.parametrize(("stage", "steps"), [("train_global", 1), ("train", 3)])
def test_a_killed_training_goes_on_in_the_midst_of_an_epoch(
    stage: str, steps: int, model: Path, small: Sample, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {
        **TRAINING,
        **small.template,
        "model_path": tmp_path / "model.pt",
        "output_dir": tmp_path / "training",
    }
    run_until_killed(f"{stage}#trainer", steps, "train_decoders", "paper", kind="train", **settings)
    assert not (tmp_path / "model.pt").exists()
    (run_dir,) = (tmp_path / "training").iterdir()
    kept = {path: path.stat().st_mtime_ns for path in run_dir.rglob("warp_*.pt")}
    other = {"train#loss": {"_target_": "bundle.training.losses.OneHotSimilarityLoss"}}
    for changed in (other, {"optimizer#_target_": "torch.optim.SGD"}):
        found = content("train_decoders", "paper", get="run_dir", kind="train", **settings, **changed)
        assert not Path(found).exists(), "another training does not go on from that state"

    def stop() -> None:
        raise KeyboardInterrupt

    with at_bundle_root():
        workflow = open_workflow("train_decoders", "paper", kind="train", **settings)
        workflow.initialize()
        interrupt(workflow, f"{stage}#trainer", steps + 1, stop)
        with pytest.raises(KeyboardInterrupt):
            workflow.run()
    assert f"4 of 4 warps and {steps} of 4 steps are done already" in capsys.readouterr().out
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in kept.items()), "nothing is encoded again"
    train_decoders(**settings)
    first, second = (read_checkpoint(path).decoders for path in (model, tmp_path / "model.pt"))
    assert set(first) == set(second)
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_each_training_says_what_it_needs(small: Sample, tmp_path: Path) -> None:
    settings = {**small.template, "encoder_weights": "random", "model_path": tmp_path / "model.pt"}
    network = TINY_PAPER_TRAINING["network"]
    assert "configs/train_decoders.json" in refusal(
        lambda: train("paper", **settings, network=network, output_dir=tmp_path)
    )
    assert "configs/paper.json" in refusal(
        lambda: run("train_decoders", kind="train", **settings, warps=4, output_dir=tmp_path)
    )
    assert not (tmp_path / "model.pt").exists()
