from __future__ import annotations

import time

from ignite.engine import Engine, Events

from bundle.handlers.items import time_iterations


def test_reading_and_finding_are_timed_but_not_writing() -> None:
    def images():
        for _ in range(3):
            time.sleep(0.02)
            yield None

    engine = Engine(lambda engine, batch: time.sleep(0.03))
    timer = time_iterations(engine)
    seconds: list[float] = []
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: time.sleep(0.2))
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: seconds.append(timer.value()))
    engine.run(images(), max_epochs=1)
    assert len(seconds) == 3 and all(0.05 <= one < 0.2 for one in seconds)
