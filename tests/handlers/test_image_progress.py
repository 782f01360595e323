from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ignite.engine import Engine, Events

from bundle.data import Cases, Failures, Journal, ResultFolder
from bundle.handlers import ImageProgress
from tests.writers.test_result_writers import prediction


def journal_of(folder: Path, *done: str) -> Journal:
    """A run of four files, some of which an earlier start has done."""
    cases = Cases([{"image": name, "image_id": name} for name in "abcd"])
    first = Journal(ResultFolder(folder), cases, {})
    first.open()
    for name in done:
        first.append(prediction(image_id=name), 0.5)
    return Journal(ResultFolder(folder), cases, {})


def images(failures: Failures) -> Iterator[int]:
    """Four files, of which the second is broken."""
    for index in range(4):
        if index == 1:
            failures.add("b", "broken")
        else:
            yield index


def seen(progress: ImageProgress, data: Any) -> list[int]:
    shown = []
    engine = Engine(lambda engine, batch: batch)
    progress.attach(engine)
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: shown.append(progress._bar.n))
    engine.run(data, max_epochs=1)
    return shown


def test_broken_files_count_as_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failures = Failures()
    progress = ImageProgress(journal_of(tmp_path), failures, "inference")
    assert seen(progress, images(failures)) == [1, 3, 4]
    assert "inference: 4/4" in capsys.readouterr().err


def test_it_starts_where_an_earlier_run_stopped(tmp_path: Path) -> None:
    assert seen(ImageProgress(journal_of(tmp_path, "a", "c"), Failures(), "inference"), [0, 1]) == [3, 4]


def test_files_that_are_all_broken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    progress = ImageProgress(journal_of(tmp_path), Failures(), "evaluation")
    engine = Engine(lambda engine, batch: batch)
    progress.attach(engine)
    engine.run(iter(()), max_epochs=1)
    assert "4/4" in capsys.readouterr().err
