from __future__ import annotations

import math
import time

from ignite.engine import Engine, Events

from bundle.handlers import Stopwatch


def test_it_measures_reading_and_finding_but_not_writing() -> None:
    def images():
        for _ in range(3):
            time.sleep(0.02)
            yield None

    stopwatch = Stopwatch()
    engine = Engine(lambda engine, batch: time.sleep(0.03))
    stopwatch.attach(engine)
    seconds: list[float] = []
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: seconds.append(stopwatch.last))
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: time.sleep(0.2))
    assert math.isnan(stopwatch.last)
    engine.run(images(), max_epochs=1)
    assert len(seconds) == 3
    assert all(0.05 <= one < 0.2 for one in seconds)
