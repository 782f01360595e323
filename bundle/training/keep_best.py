"""Keep the decoders that did best on held-out warps, and stop when nothing better comes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from bundle.ranks import is_first
from bundle.training.stages import Stage


class KeepBest:
    """Selects the decoders of one stage; survives a killed run. All ranks decide alike; rank 0 writes.

    Attach it to the trainer after the validation.

    Args:
        stage: the stage in training.
        evaluator: the engine that measures on held-out warps.
        metric: name of its metric; lower is better.
        folder: folder of the run, where the best decoders are kept.
        patience: epochs without a better one after which the stage ends; 0 for never.
    """

    def __init__(self, stage: Stage, evaluator: Engine, metric: str, folder: str | Path, patience: int = 0) -> None:
        self.stage = stage
        self.evaluator = evaluator
        self.metric = metric
        self.path = Path(folder) / "best.pt"
        self.patience = patience
        self.best: dict[str, Any] = {"value": float("inf"), "epoch": 0, "decoders": None}
        if self.path.is_file():
            self.best = torch.load(self.path, map_location=stage.device, weights_only=True)

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._compare)

    def restore(self) -> None:
        """Give the network the best decoders."""
        if self.best["decoders"] is not None:
            self.stage.network.load_state_dict(self.best["decoders"])

    def _compare(self, engine: Engine) -> None:
        value = self.evaluator.state.metrics.get(self.metric)
        epoch = engine.state.epoch
        if value is not None and float(value) < self.best["value"]:
            decoders = {key: tensor.detach().clone() for key, tensor in self.stage.network.state_dict().items()}
            self.best = {"value": float(value), "epoch": epoch, "decoders": decoders}
            if not is_first():
                return
            self.path.parent.mkdir(parents=True, exist_ok=True)
            partial = self.path.with_suffix(".partial")
            torch.save(self.best, partial)
            partial.replace(self.path)
        elif self.patience and epoch - self.best["epoch"] >= self.patience:
            engine.terminate()
