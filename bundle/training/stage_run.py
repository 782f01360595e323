"""Run one stage so that a killed one goes on where it stopped."""

from __future__ import annotations

from pathlib import Path

import torch
from monai.engines import Trainer
from monai.handlers import CheckpointLoader, CheckpointSaver

from bundle.errors import ConfigError
from bundle.training.keep_best import KeepBest
from bundle.training.stages import Stage

_PREFIX = "state"


class StageRun:
    """One stage of the training, saved after every epoch.

    Args:
        stage: the stage.
        trainer: the engine that trains it.
        optimizer: its optimiser.
        folder: where the state of the run is kept.
        keep_best: what selects the decoders; None keeps those of the last epoch.
    """

    def __init__(
        self,
        stage: Stage,
        trainer: Trainer,
        optimizer: torch.optim.Optimizer,
        folder: str | Path,
        keep_best: KeepBest | None = None,
    ) -> None:
        self.stage = stage
        self.trainer = trainer
        self.optimizer = optimizer
        self.folder = Path(folder)
        self.keep_best = keep_best

    def run(self) -> None:
        """Train until the last epoch, from the state that an earlier run left, if any."""
        if self.trainer.state.epoch_length == 0:
            raise ConfigError("there are fewer warps than one batch holds: raise warps or lower batch_size.")
        state = {"network": self.stage.network, "optimizer": self.optimizer, "trainer": self.trainer}
        found = sorted(self.folder.glob(f"{_PREFIX}_*.pt"), key=lambda path: path.stat().st_mtime)
        if found:
            CheckpointLoader(str(found[-1]), state)(self.trainer)
        CheckpointSaver(str(self.folder), state, file_prefix=_PREFIX, save_interval=1, n_saved=1).attach(self.trainer)
        # An engine that is told to run when it has finished would start again from the first epoch.
        if self.trainer.state.epoch < self.trainer.state.max_epochs:
            self.trainer.run()
        if self.keep_best is not None:
            self.keep_best.restore()
        self.stage.eval()
