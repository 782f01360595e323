"""A progress bar over a stage of the training."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events
from tqdm import tqdm

from bundle.ranks import is_first


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
        self._bar: tqdm | None = None

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer, after the validation."""
        engine.add_event_handler(Events.STARTED, self._open)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._advance)
        engine.add_event_handler(Events.COMPLETED, self._close)

    def _open(self, engine: Engine) -> None:
        self._bar = tqdm(
            total=engine.state.max_epochs,
            initial=engine.state.epoch,
            desc=self.label,
            unit="epoch",
            dynamic_ncols=True,
            disable=not is_first(),
        )

    def _advance(self, engine: Engine) -> None:
        if self._bar is None:
            return
        output: Any = engine.state.output
        loss = output[0]["loss"] if isinstance(output, list) else output["loss"]
        shown = {"loss": f"{loss.item():.4f}"}
        value = self.evaluator.state.metrics.get(self.metric)
        if value is not None:
            shown["error"] = f"{float(value):.2f} cells"
        self._bar.set_postfix(shown)
        self._bar.update(engine.state.epoch - self._bar.n)

    def _close(self, engine: Engine) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
