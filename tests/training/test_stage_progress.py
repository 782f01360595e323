from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine

from bundle.training import StageProgress


def test_epoch_loss_and_error_are_shown(capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder) -> None:
    evaluator = Engine(lambda engine, batch: None)
    evaluator.state.metrics = {"val_error": 1.5}
    progress = StageProgress("local decoder", evaluator, "val_error")
    trainer = Engine(lambda engine, batch: {"loss": torch.tensor(0.25, requires_grad=True)})
    progress.attach(trainer)
    trainer.run([None], max_epochs=3)
    told = capsys.readouterr().err
    assert "local decoder: 3/3" in told and "loss=0.2500" in told and "1.50" in told
    assert not recwarn.list
