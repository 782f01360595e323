"""From an engine's items to the report, in one run or after a killed one."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor

from bundle.data import Cases, Failures, Journal, ResultFolder
from bundle.handlers import EvaluationSaver, ImageProgress, PredictionSaver
from bundle.records.landmarks import LandmarkSet
from bundle.records.template import Template
from bundle.report import ReportFigure
from tests.writers.test_result_writers import prediction

NAMES = ("a", "b", "c")
NAN = float("nan")
TEMPLATE = Template(
    np.random.default_rng(0).random((40, 50), dtype=np.float32),
    LandmarkSet(NAMES, np.array([[5.0, 6.0], [30.0, 8.0], [20.0, 33.0]])),
    (0.5, 0.5),
    "template.png",
)


def item(name: str, spacing: float) -> dict[str, Any]:
    """An image of 40 x 50 pixels whose landmarks are found 2 px to the right of the truth."""
    points = torch.from_numpy(TEMPLATE.landmarks.points) + torch.tensor([2.0, 0.0])
    others = torch.tensor([[0.9, 1.0, 1.0, 0.8, 3.0]] * 3, dtype=torch.float64)  # confidence 0.8, 3 px expected
    meta = {"filename_or_obj": f"/{name}.png", "pixel_to_lps": np.eye(3)}
    return {
        "image": MetaTensor(torch.rand(1, 40, 50), meta=meta),
        "image_id": name,
        "pred": torch.cat([points, others], dim=1),
        "spacing": torch.tensor([spacing] * 2),
        "spacing_source": "config",
    }


def report(
    folder: Path, kind: str, *names: str, cases: Cases | None = None, spacing: float = 0.5, stop: int = 9, **other: Any
) -> str:
    """The report of a run over images, which is killed before image number ``stop``."""
    cases = cases or Cases([])
    cases.items = [{"image": name, "image_id": name, "label": TEMPLATE.landmarks.points} for name in names]
    failures = Failures() if names else Failures([("broken.png", "broken.png is broken.")])
    cases.items += [{"image": file, "image_id": file, "label": TEMPLATE.landmarks.points} for file, _ in failures.rows]
    journal = Journal(ResultFolder(folder), cases, {})
    make = {"evaluation": EvaluationSaver, "inference": PredictionSaver}[kind]
    saver = make(TEMPLATE, failures, journal, report=True, settings={"model": "x"}, **other)

    def step(engine: Engine, batch: Any) -> Any:
        if engine.state.iteration > stop:
            raise KeyboardInterrupt
        return batch

    engine = Engine(step)
    saver.attach(engine)
    engine.run(iter([[item(one["image_id"], spacing)] for one in journal.remaining if names]), max_epochs=1)
    try:
        saver.finish()
    except SystemExit:
        assert not names
    return (folder / "report.html").read_text(encoding="utf-8")


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found.group(1))


@pytest.mark.parametrize("stop", [9, 1])
def test_the_numbers_of_an_evaluation_arrive_also_after_a_killed_run(tmp_path: Path, stop: int) -> None:
    if stop == 1:
        with pytest.raises(KeyboardInterrupt):
            report(tmp_path, "evaluation", "one", "two", stop=stop)
    page = report(tmp_path, "evaluation", "one", "two")
    assert page.count("data:image/jpeg") == 2, "both pictures"
    data = data_of(page)
    case = next(case for case in data["cases"].values() if case["id"] == "one")
    assert (data["names"], data["unit"]) == (list(NAMES), "mm")
    np.testing.assert_allclose(case["t"], TEMPLATE.landmarks.points + 0.5)
    np.testing.assert_allclose(case["p"], TEMPLATE.landmarks.points + np.array([2.5, 0.5]))
    assert case["e"] == [1.0] * 3 and case["x"] == [1.5] * 3 and case["c"] == [0.8] * 3 and case["size"] == [50, 40]
    assert not list(tmp_path.glob(".run"))


def test_an_inference_of_unknown_spacing(tmp_path: Path) -> None:
    page = report(tmp_path, "inference", "one", spacing=NAN)
    case = data_of(page)["cases"]["0"]
    assert case["t"] is None and case["e"] == [None] * 3 and case["x"] == [3.0] * 3
    assert "Inference of 1 image" in page


def test_what_was_left_out_is_named(tmp_path: Path) -> None:
    cases = Cases([], without_truth=["no truth"], without_image=["no image"], template_copies=["the copy"])
    text = report(tmp_path, "evaluation", "one", cases=cases)
    for told in ("no truth", "no image", "the copy", "Evaluation of 1 image"):
        assert told in text


@pytest.mark.parametrize("kind", ["evaluation", "inference"])
def test_no_image(tmp_path: Path, kind: str) -> None:
    text = report(tmp_path, kind)
    assert "of 0 images" in text and "broken.png is broken." in text


def test_a_tracker_gets_the_report_and_is_closed(tmp_path: Path) -> None:
    class Tracker:
        def log_report(self, page: Path, figures: Any) -> None:
            self.got = page, list(figures)

        def close(self) -> None:
            self.closed = True

    tracker, failed = Tracker(), Tracker()
    report(tmp_path, "evaluation", *"abcdef", tracker=tracker)
    report(tmp_path / "none", "evaluation", tracker=failed)
    assert tracker.closed and failed.closed, "also where files failed"
    page, figures = tracker.got
    assert page == tmp_path / "report.html" and figures and all(isinstance(one, ReportFigure) for one in figures)


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
