"""Train one decoder so that a killed training goes on where it stopped."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Events
from ignite.handlers import Checkpoint
from monai.engines import SupervisedTrainer
from torch import nn
from torch.utils.data import DataLoader, Sampler

from bundle.data.warps import WarpedTemplate
from bundle.errors import ConfigError
from bundle.model.memory import reuse_memory
from bundle.ranks import batch_share, equal_share, is_first, of_all
from bundle.records.console import progress
from bundle.training.stage_features import StageFeatures, collate_stage
from bundle.training.stages import Stage
from bundle.writers.files import atomic_file

#: Seconds between two saved states: what is lost at most when a training is killed, beside the step in progress. Where
#: saving takes more than half a second, they are longer, so that it never takes more than a twentieth of the time.
SAVE_EVERY = 10.0


class StageTrainer(SupervisedTrainer):
    """Trains the decoder of a stage on frozen features of the warps; of several ranks, rank 0 speaks and saves.

    Args:
        stage: the stage.
        warps: the warps to train on.
        loss: compares decoded maps with cells.
        optimizer: makes the optimiser of the decoder's parameters.
        folder: where features and the state of the training are kept.
        max_epochs: how often all warps are seen.
        batch_size: warps per step, of all ranks together.
        seed: seed of the order of the warps.
        label: which decoder it is.
        train_handlers: handlers of events.

    Raises:
        ConfigError: when there are fewer warps than one batch holds.
    """

    def __init__(
        self,
        stage: Stage,
        warps: WarpedTemplate,
        loss: nn.Module,
        optimizer: Callable[..., torch.optim.Optimizer],
        folder: str | Path,
        max_epochs: int,
        batch_size: int,
        seed: int,
        label: str = "local",
        train_handlers: Sequence[Any] = (),
    ) -> None:
        self.stage = stage
        self.label = label
        self.path = Path(folder) / "state.pt"
        self.features = StageFeatures(warps, stage, Path(folder) / "warps", equal_share(len(warps)))
        order = _Order(self, len(self.features), batch_share(batch_size), seed + idist.get_rank())
        loader = DataLoader(self.features, order.batch, sampler=order, drop_last=True, collate_fn=collate_stage)
        if not len(loader):
            raise ConfigError("there are fewer warps than one batch holds: raise warps or lower batch_size.")
        super().__init__(
            device=stage.device,
            max_epochs=max_epochs,
            train_data_loader=loader,
            network=stage,
            optimizer=optimizer(stage.decoder.parameters()),
            loss_function=loss,
            train_handlers=list(train_handlers),
            decollate=False,
        )
        self.add_event_handler(Events.STARTED, self._open)
        self.add_event_handler(Events.ITERATION_COMPLETED, self._note)
        self.add_event_handler(Events.COMPLETED, lambda: self._bar.close())

    def run(self) -> None:  # type: ignore[override]
        """Train until the last epoch, from the state that an earlier run left, if any."""
        reuse_memory()
        self.network = _over_ranks(self.stage)
        there = of_all(self.path.is_file())
        if any(there) and not all(there):
            raise ConfigError(
                f"rank {there.index(False)} does not see {self.path}, another rank does: choose an output_dir that all "
                "machines share."
            )
        if all(there):
            state = torch.load(self.path, map_location=self.stage.device, weights_only=True)
            Checkpoint.load_objects(self._parts(), state)
        encoded = len(self.features) - len(self.features.missing)
        if encoded and is_first():
            print(
                f"continuing the {self.label} decoder: {encoded} of {len(self.features)} warps and "
                f"{self.state.iteration} of {self._steps} steps are done already"
            )
        self.features.compute(f"warps for the {self.label} decoder")
        # An engine that is told to run when it has finished would start again from the first epoch.
        if self.state.epoch < self.state.max_epochs:
            super().run()
        self.stage.eval()

    @property
    def _steps(self) -> int:
        return self.state.max_epochs * self.state.epoch_length

    def _parts(self) -> dict[str, Any]:
        return {"network": self.stage.network, "optimizer": self.optimizer, "trainer": self}

    def _open(self) -> None:
        self._due = time.monotonic() + SAVE_EVERY
        done = self.state.iteration
        self._bar = progress(
            total=self._steps, initial=done, desc=f"{self.label} decoder", unit="step", disable=not is_first()
        )

    def _note(self) -> None:
        """Show the step and, when it is time, save the state."""
        output: Any = self.state.output
        self._bar.set_postfix(loss=f"{output['loss'].item():.4f}", refresh=False)
        self._bar.update()
        began = time.monotonic()
        if is_first() and (self.state.iteration == self._steps or began >= self._due):
            with atomic_file(self.path, binary=True) as file:
                torch.save({name: part.state_dict() for name, part in self._parts().items()}, file)
            ended = time.monotonic()
            self._due = ended + SAVE_EVERY * max(1.0, 2 * (ended - began))


class _Order(Sampler[int]):
    """An order of the warps for each epoch, from the batch on that comes next."""

    def __init__(self, trainer: StageTrainer, count: int, batch: int, seed: int) -> None:
        self.trainer = trainer
        self.count = count
        self.batch = batch
        self.seed = seed

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        state = self.trainer.state
        generator = torch.Generator().manual_seed(self.seed + state.epoch)
        done = state.iteration % state.epoch_length
        return iter(torch.randperm(self.count, generator=generator)[done * self.batch :].tolist())


def _over_ranks(stage: Stage) -> nn.Module:
    """The stage itself in a run of one process; else inside PyTorch's ``DistributedDataParallel``.

    On CUDA batch normalisation then takes its statistics over all ranks; PyTorch has no such layer for the CPU, where
    each rank takes its own and rank 0's are kept.
    """
    if idist.get_world_size() == 1:
        return stage
    stage.requires_grad_(False)  # whatever else has gradients would be waited for in vain
    stage.decoder.requires_grad_(True)
    return idist.auto_model(stage, sync_bn=stage.device.type == "cuda")
