from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ignite.engine import Engine, Events

from bundle.data import Failures
from bundle.handlers import ImageProgress


class Images:
    """Four files, of which the second is broken."""

    def __init__(self) -> None:
        self.failures = Failures()
        self.files = 4

    def __iter__(self) -> Iterator[int]:
        for index in range(4):
            if index == 1:
                self.failures.add("1", "broken")
            else:
                yield index


def test_broken_files_count_as_done(capsys: pytest.CaptureFixture[str]) -> None:
    images: Any = Images()
    seen = []
    progress = ImageProgress(images, "inference")
    engine = Engine(lambda engine, batch: batch)
    progress.attach(engine)
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: seen.append(progress._bar.n))
    engine.run(images, max_epochs=1)
    assert seen == [1, 3, 4]
    told = capsys.readouterr().err
    assert "inference: 100%" in told and "4/4" in told


def test_files_that_are_all_broken(capsys: pytest.CaptureFixture[str]) -> None:
    images: Any = Images()
    progress = ImageProgress(images, "evaluation")
    engine = Engine(lambda engine, batch: batch)
    progress.attach(engine)
    progress._open(engine)
    progress._close(engine)
    assert "4/4" in capsys.readouterr().err
