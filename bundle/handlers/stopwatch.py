"""How long an image takes."""

from __future__ import annotations

import time

import torch
from ignite.engine import Engine, Events


class Stopwatch:
    """Measures the seconds from asking for an image to having its result, without what writes files afterwards.

    Attributes:
        last: seconds that the last image took; NaN before the first.
    """

    def __init__(self) -> None:
        self.last = float("nan")
        self._start = 0.0

    def attach(self, engine: Engine) -> None:
        """Attach to an engine; put it before the handlers that write."""
        engine.add_event_handler(Events.GET_BATCH_STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._end)

    def _begin(self, engine: Engine) -> None:
        self._start = time.perf_counter()

    def _end(self, engine: Engine) -> None:
        if torch.cuda.is_available():  # what was launched has not yet happened
            torch.cuda.synchronize()
        self.last = time.perf_counter() - self._start
