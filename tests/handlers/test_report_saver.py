"""From an engine's items to the report, in one run or after a killed one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundle.data import Cases, Failures
from bundle.data.journal import NOTES, Finding
from bundle.errors import ImageError
from bundle.handlers import ReportSaver
from bundle.metrics.error_summary import summarise_run
from bundle.metrics.radial_error import landmark_errors
from bundle.records.landmarks import LandmarkSet
from bundle.records.template import Template
from bundle.report import ReportFigure
from bundle.writers.json_file import json_values
from tests.writers.test_result_writers import prediction

NAMES = ("a", "b", "c")
TEMPLATE = Template(
    np.random.default_rng(0).random((40, 50), dtype=np.float32),
    LandmarkSet(NAMES, np.array([[5.0, 6.0], [30.0, 8.0], [20.0, 33.0]])),
    (0.5, 0.5),
    "template.png",
)


def found(name: str, **changes: Any) -> Finding:
    """An image of 40 x 50 pixels with its landmarks, 2 px to the right of the truth."""
    known = {
        "points": TEMPLATE.landmarks.points + np.array([2.0, 0.0]),
        "confidence": np.full(3, 0.8),
        "spacing": (0.5, 0.5),
    }
    known |= {"names": NAMES, "width": 50, "height": 40, "expected_error": np.full(3, 3.0)}
    return Finding(prediction(count=3, image_id=name, **{**known, **changes}), 0.25)


def write(saver: ReportSaver, *names: str) -> Path:
    """The report of an evaluation of images."""
    some = [found(name) for name in names]
    for one in some:
        saver.pictures.add(one.prediction.image_id, np.random.default_rng(0).random((40, 50)))
    truths = np.array([TEMPLATE.landmarks.points] * len(some)).reshape(-1, 3, 2)
    errors = landmark_errors([one.prediction for one in some], truths, NAMES)
    metrics = json_values({**summarise_run(errors, (2.0,)), "truth_outside_image": ["b of x"]})
    return saver.write(some, Failures(), metrics, errors, truths)


def data_of(page: Path) -> dict[str, Any]:
    found = re.search(r'id="data">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return json.loads(found.group(1))


def no_file(item: dict[str, Any]) -> Any:
    """What reads images of a run whose images are not there."""
    raise ImageError(f"{item['image']} does not exist.")


def test_the_numbers_of_an_evaluation_arrive(tmp_path: Path) -> None:
    saver = ReportSaver(tmp_path, "evaluation", TEMPLATE, Cases([]), no_file, {"model": "x"}, radii=(2, 4))
    page = write(saver, "one", "two")
    assert page == tmp_path / "report.html" and {path.name for path in tmp_path.iterdir()} == {"report.html", NOTES}
    data = data_of(page)
    case = next(case for case in data["cases"].values() if case["id"] == "one")
    assert (data["names"], data["unit"]) == (list(NAMES), "mm")
    np.testing.assert_allclose(case["t"], TEMPLATE.landmarks.points + 0.5)
    np.testing.assert_allclose(case["p"], TEMPLATE.landmarks.points + np.array([2.5, 0.5]))
    assert case["e"] == [1.0] * 3 and case["x"] == [1.5] * 3 and case["c"] == [0.8] * 3 and case["size"] == [50, 40]


def test_an_inference_of_unknown_spacing(tmp_path: Path) -> None:
    saver = ReportSaver(tmp_path, "inference", TEMPLATE, Cases([{"image": "one", "image_id": "one"}]), no_file)
    page = saver.write([found("one", spacing=None)], Failures([("x.png", "x.png is broken.")]))
    case = data_of(page)["cases"]["0"]
    assert case["t"] is None and case["e"] == [None] * 3 and case["x"] == [3.0] * 3
    text = page.read_text(encoding="utf-8")
    assert "x.png is broken." in text and "Inference of 1 image" in text


def test_what_was_left_out_is_named(tmp_path: Path) -> None:
    cases = Cases([], without_truth=["no truth"], without_image=["no image"], template_copies=["the copy"])
    text = write(ReportSaver(tmp_path, "evaluation", TEMPLATE, cases, no_file), "one").read_text(encoding="utf-8")
    for told in ("no truth", "no image", "the copy", "b of x", "Evaluation of 1 image"):
        assert told in text


@pytest.mark.parametrize("kind", ["evaluation", "inference"])
def test_no_image(tmp_path: Path, kind: str) -> None:
    saver = ReportSaver(tmp_path, kind, TEMPLATE, Cases([]), no_file)
    page = write(saver) if kind == "evaluation" else saver.write([], Failures())
    assert "of 0 images" in page.read_text(encoding="utf-8")


def test_a_tracker_gets_the_report(tmp_path: Path) -> None:
    class Tracker:
        def log_report(self, page: Path, figures: Any) -> None:
            self.got = page, list(figures)

    tracker = Tracker()
    saver = ReportSaver(tmp_path, "evaluation", TEMPLATE, Cases([]), no_file, tracker=tracker)
    page = write(saver, *"abcdef")
    assert (
        tracker.got[0] == page and all(isinstance(figure, ReportFigure) for figure in tracker.got[1]) and tracker.got[1]
    )
