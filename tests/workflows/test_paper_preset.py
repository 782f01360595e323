"""The preset of the paper, with a small transformer of random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Events

from bundle.model.checkpoint import read_checkpoint
from tests.conftest import Sample
from tests.workflows.running import (
    TINY_PAPER_TRAINING,
    at_bundle_root,
    content,
    open_workflow,
    refusal,
    run,
    train,
    train_decoders,
)


@pytest.fixture(scope="module")
def model(small: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("paper")
    train_decoders(
        **TINY_PAPER_TRAINING, **small.template, model_path=folder / "model.pt", output_dir=folder / "training"
    )
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


def test_an_interrupted_training_goes_on_in_the_second_stage(model: Path, small: Sample, tmp_path: Path) -> None:
    settings = {
        **TINY_PAPER_TRAINING,
        **small.template,
        "model_path": tmp_path / "model.pt",
        "output_dir": tmp_path / "training",
    }

    def stop(engine: Any) -> None:
        raise KeyboardInterrupt

    with at_bundle_root():
        workflow = open_workflow("train_decoders", "paper", kind="train", **settings)
        workflow.initialize()
        run_dir = workflow.parser.get_parsed_content("run_dir")
        workflow.parser.get_parsed_content("train#trainer").add_event_handler(Events.EPOCH_COMPLETED(once=2), stop)
        with pytest.raises(KeyboardInterrupt):
            workflow.run()
    assert not (tmp_path / "model.pt").exists()
    states = [path.relative_to(run_dir).parts[0] for path in Path(run_dir).rglob("state.pt")]
    assert sorted(states) == ["global", "local"]
    other = {"train#loss": {"_target_": "bundle.training.losses.OneHotSimilarityLoss"}}
    for changed in (other, {"train#optimizer#_target_": "torch.optim.SGD"}):
        found = content("train_decoders", "paper", get="run_dir", kind="train", **settings, **changed)
        assert not Path(found).exists(), "another training does not go on from that state"
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
