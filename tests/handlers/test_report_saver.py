"""From an engine's items to the report, in one run or after a killed one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle.data import Cases, Failures
from bundle.errors import ImageError
from bundle.handlers import ReportSaver
from bundle.handlers.run_saver import as_prediction
from bundle.metrics.error_summary import LandmarkErrors, summarise_run
from bundle.records.landmarks import LandmarkSet
from bundle.records.template import Template
from bundle.report import ReportFigure
from bundle.writers.json_file import json_values

NAN = float("nan")
NAMES = ("a", "b", "c")
TEMPLATE = Template(
    np.random.default_rng(0).random((40, 50), dtype=np.float32),
    LandmarkSet(NAMES, np.array([[5.0, 6.0], [30.0, 8.0], [20.0, 33.0]])),
    (0.5, 0.5),
    "template.png",
)


def item(name: str, spacing: tuple[float, float] = (0.5, 0.5), truth: bool = True) -> dict[str, Any]:
    """An image of 40 x 50 pixels with its landmarks, 2 px to the right of the truth."""
    meta = {"filename_or_obj": f"/images/{name}.png", "pixel_to_lps": np.eye(3)}
    label = torch.from_numpy(TEMPLATE.landmarks.points)
    columns = torch.tensor([[0.9, 1.5, 2.0, 0.8, 3.0]] * 3, dtype=label.dtype)
    found = {
        "image": MetaTensor(torch.rand(1, 40, 50), meta=meta),
        "image_id": name,
        "pred": torch.cat([label + torch.tensor([2.0, 0.0]), columns], dim=1),
        "spacing": torch.tensor(spacing),
        "spacing_source": "config",
    }
    return {**found, "label": label if truth else None}


def row(saver: ReportSaver, name: str, **settings: Any) -> dict[str, Any]:
    """What the journal gives back of an image."""
    one = item(name, **settings)
    noted = saver.note(as_prediction(one, NAMES), one)
    known = {"px": [2.0] * 3, "mm": [1.0] * 3} if settings.get("truth", True) else {}
    return json.loads(json.dumps({"image_id": name, "seconds": 0.25, "report": noted, **known}))


def data_of(page: Path) -> dict[str, Any]:
    found = re.search(r'id="data">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return json.loads(found.group(1))


def no_file(item: dict[str, Any]) -> Any:
    """What reads images of a run whose images are not there."""
    raise ImageError(f"{item['image']} does not exist.")


ERRORS = np.full((1, 3), 1.0)
METRICS = json_values(summarise_run(LandmarkErrors(("one",), NAMES, 2 * ERRORS, ERRORS), (2.0,)))


def test_the_numbers_of_an_evaluation_arrive(tmp_path: Path) -> None:
    saver = ReportSaver(tmp_path, "evaluation", TEMPLATE, Cases([]), no_file, {"model": "x"}, radii=(2, 4))
    page = saver.write([row(saver, name) for name in ("one", "two")], Failures(), METRICS)
    assert page == tmp_path / "report.html" and {path.name for path in tmp_path.iterdir()} == {"report.html"}
    data = data_of(page)
    case = next(case for case in data["cases"].values() if case["id"] == "one")
    assert (data["names"], data["unit"]) == (list(NAMES), "mm")
    np.testing.assert_allclose(case["t"], TEMPLATE.landmarks.points + 0.5)
    np.testing.assert_allclose(case["p"], TEMPLATE.landmarks.points + np.array([2.5, 0.5]))
    assert case["e"] == [1.0] * 3 and case["x"] == [1.5] * 3 and case["c"] == [0.8] * 3 and case["size"] == [50, 40]


def test_an_inference_of_unknown_spacing(tmp_path: Path) -> None:
    saver = ReportSaver(tmp_path, "inference", TEMPLATE, Cases([]), no_file)
    page = saver.write([row(saver, "one", spacing=(NAN, NAN), truth=False)], Failures([("x.png", "x.png is broken.")]))
    case = data_of(page)["cases"]["0"]
    assert case["t"] is None and case["e"] == [None] * 3 and case["x"] == [3.0] * 3
    text = page.read_text(encoding="utf-8")
    assert "x.png is broken." in text and "Inference of 1 image" in text


def test_a_second_process_writes_the_report_of_both(tmp_path: Path) -> None:
    first, second = (ReportSaver(tmp_path, "evaluation", TEMPLATE, Cases([]), no_file) for _ in range(2))
    rows = [row(first, "one"), row(second, "two")]
    data = data_of(second.write(rows, Failures(), METRICS))
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert {case["id"] for case in data["cases"].values()} == {"one", "two"}
    assert text.count('href="data:image/jpeg') == 2


def test_images_done_without_a_report_are_named(tmp_path: Path) -> None:
    cases = Cases([], without_truth=["no truth"], without_image=["no image"], template_copies=["the copy"])
    saver = ReportSaver(tmp_path, "evaluation", TEMPLATE, cases, no_file)
    early = {"image_id": "early", "seconds": 1.0, "px": [1.0] * 3, "mm": [0.5] * 3}
    text = saver.write([early, row(saver, "late")], Failures(), METRICS).read_text(encoding="utf-8")
    for told in ("no truth", "no image", "the copy", "early", "Evaluation of 1 image"):
        assert told in text


@pytest.mark.parametrize("kind", ["evaluation", "inference"])
def test_no_image(tmp_path: Path, kind: str) -> None:
    saver = ReportSaver(tmp_path, kind, TEMPLATE, Cases([]), no_file)
    page = saver.write([], Failures(), METRICS if kind == "evaluation" else None)
    assert "of 0 images" in page.read_text(encoding="utf-8")


def test_a_tracker_gets_the_report(tmp_path: Path) -> None:
    class Tracker:
        def log_report(self, page: Path, figures: Any) -> None:
            self.got = page, list(figures)

    tracker = Tracker()
    saver = ReportSaver(tmp_path, "evaluation", TEMPLATE, Cases([]), no_file, tracker=tracker)
    page = saver.write([row(saver, name) for name in "abcdef"], Failures(), METRICS)
    assert (
        tracker.got[0] == page and all(isinstance(figure, ReportFigure) for figure in tracker.got[1]) and tracker.got[1]
    )
