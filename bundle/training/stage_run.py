"""Run one stage so that a killed one goes on where it stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events
from monai.engines import Trainer
from monai.handlers import CheckpointLoader

from bundle.errors import ConfigError
from bundle.ranks import is_first, of_all
from bundle.training.stages import Stage
from bundle.writers.atomic import atomic_file


class StageRun:
    """One stage of the training, saved after every epoch; of several ranks, rank 0 saves.

    Args:
        stage: the stage.
        trainer: the engine that trains it.
        optimizer: its optimiser.
        folder: where the state of the run is kept.
    """

    def __init__(
        self,
        stage: Stage,
        trainer: Trainer,
        optimizer: torch.optim.Optimizer,
        folder: str | Path,
    ) -> None:
        self.stage = stage
        self.trainer = trainer
        self.optimizer = optimizer
        self.path = Path(folder) / "state.pt"

    def run(self) -> None:
        """Train until the last epoch, from the state that an earlier run left, if any."""
        if self.trainer.state.epoch_length == 0:
            raise ConfigError("there are fewer warps than one batch holds: raise warps or lower batch_size.")
        features: Any = self.trainer.data_loader.dataset  # type: ignore[union-attr]
        features.compute()  # before the engine runs: it would log what is wrong a second time
        there = of_all(self.path.is_file())
        if any(there) and not all(there):
            raise ConfigError(
                f"rank {there.index(False)} does not see {self.path}, another rank does: choose an output_dir that all "
                "machines share."
            )
        if all(there):
            device: Any = self.stage.device  # torch takes it, though MONAI's annotation has dictionaries only
            CheckpointLoader(str(self.path), self._parts(), map_location=device)(self.trainer)
        if is_first():
            self.trainer.add_event_handler(Events.EPOCH_COMPLETED, self._save)
        # An engine that is told to run when it has finished would start again from the first epoch.
        if self.trainer.state.epoch < self.trainer.state.max_epochs:
            self.trainer.run()
        self.stage.eval()

    def _parts(self) -> dict[str, Any]:
        return {"network": self.stage.network, "optimizer": self.optimizer, "trainer": self.trainer}

    def _save(self) -> None:
        """Save in one step, which MONAI's saver does not: a process that dies meanwhile leaves the state before."""
        with atomic_file(self.path, binary=True) as file:
            torch.save({name: part.state_dict() for name, part in self._parts().items()}, file)
