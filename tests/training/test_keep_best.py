from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn

from bundle.training import KeepBest


class Stage:
    """A network of one number, which is the number of the epoch."""

    def __init__(self) -> None:
        self.network = nn.Linear(1, 1, bias=False)
        self.device = torch.device("cpu")


def train(
    folder: Path, values: list[float | None], patience: int = 0, stage: Any = None
) -> tuple[Any, KeepBest, Engine]:
    """A training whose error on held-out warps is given, one value an epoch."""
    stage = stage or Stage()
    evaluator = Engine(lambda engine, batch: None)
    keep = KeepBest(stage, evaluator, "val_error", folder, patience)
    trainer = Engine(lambda engine, batch: None)

    @trainer.on(Events.EPOCH_COMPLETED)
    def measure(engine: Engine) -> None:
        with torch.no_grad():
            stage.network.weight.fill_(float(engine.state.epoch))
        value = values[engine.state.epoch - 1]
        evaluator.state.metrics = {} if value is None else {"val_error": value}

    keep.attach(trainer)
    trainer.run([None], max_epochs=len(values))
    return stage, keep, trainer


@pytest.mark.parametrize(
    ("values", "best"), [([3.0, 1.0, 2.0], 2), ([1.0, 1.0, 1.0], 1), ([None, 5.0, None], 2), ([float("nan"), 4.0], 2)]
)
def test_the_best_epoch_is_restored(values: list[float | None], best: int, tmp_path: Path) -> None:
    stage, keep, trainer = train(tmp_path, values)
    assert stage.network.weight.item() == len(values) == trainer.state.epoch
    keep.restore()
    assert stage.network.weight.item() == best


def test_patience(tmp_path: Path) -> None:
    _, keep, trainer = train(tmp_path, [3.0, 2.0, 2.5, 2.4, 1.0], patience=2)
    assert trainer.state.epoch == 4 and keep.best["epoch"] == 2


def test_it_survives_the_process(tmp_path: Path) -> None:
    train(tmp_path, [3.0, 1.0])
    stage, keep, _ = train(tmp_path, [2.0, 1.5])
    keep.restore()
    assert stage.network.weight.item() == 2 and keep.best["value"] == 1.0
    assert [path.name for path in tmp_path.iterdir()] == ["best.pt"]


def test_without_any_value_nothing_is_restored(tmp_path: Path) -> None:
    stage, keep, _ = train(tmp_path, [None, None])
    keep.restore()
    assert stage.network.weight.item() == 2 and not list(tmp_path.iterdir())
