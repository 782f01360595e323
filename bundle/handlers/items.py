"""The items of an engine's iteration, and the time that it takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.handlers import Timer


def decollated_items(engine: Engine) -> Iterator[dict[str, Any]]:
    """What went into a decollating engine and what came out, together, one image at a time."""
    batch: Any = engine.state.batch
    output: Any = engine.state.output
    for inputs, outputs in zip(batch, output):
        yield {**inputs, **outputs}


def time_iterations(engine: Engine) -> Timer:
    """A timer of the seconds from asking for an image to having its result, without the handlers attached later."""
    if torch.cuda.is_available():  # what was launched has not yet happened
        engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: torch.cuda.synchronize())
    timer = Timer()
    return timer.attach(engine, start=Events.GET_BATCH_STARTED, pause=Events.ITERATION_COMPLETED)
