"""The progress of a stage of the training."""

from __future__ import annotations

import math
from typing import Any

from ignite.engine import Engine, Events

from bundle.ranks import is_first
from bundle.records.progress import progress


class StageProgress:
    """Shows epoch, loss and the error on held-out warps; of several ranks, rank 0 shows its own loss.

    Args:
        label: what the bar is called.
        evaluator: the engine that measures on held-out warps.
        metric: name of its metric.
    """

    def __init__(self, label: str, evaluator: Engine, metric: str) -> None:
        self.label = label
        self.evaluator = evaluator
        self.metric = metric

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer, after the validation."""
        engine.add_event_handler(Events.STARTED, self._open)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._advance)
        engine.add_event_handler(Events.COMPLETED, lambda: self._bar.close())

    def _open(self, engine: Engine) -> None:
        total, done = engine.state.max_epochs, engine.state.epoch
        self._bar = progress(total=total, initial=done, desc=self.label, unit="epoch", disable=not is_first())

    def _advance(self, engine: Engine) -> None:
        output: Any = engine.state.output
        loss = output[0]["loss"] if isinstance(output, list) else output["loss"]
        error = self.evaluator.state.metrics.get(self.metric, math.nan)
        self._bar.set_postfix(loss=f"{loss.item():.4f}", error=f"{float(error):.2f} cells", refresh=False)
        self._bar.update(engine.state.epoch - self._bar.n)
