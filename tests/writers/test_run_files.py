"""The files that a run writes once."""

import csv
import json
import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundle.metrics.error_summary import LandmarkErrors, summarise_run
from bundle.records.prediction import LandmarkPrediction, MeasuredValue
from bundle.writers.files import json_values
from bundle.writers.run_files import format_summary, write_coco, write_measurements, write_notes, write_report
from tests.metrics.test_error_summary import random_run
from tests.writers.test_result_writers import prediction

VALUES = (
    MeasuredValue("ANB", "t", "deg", 3.21234, 0.71, (3.2, None), "class I"),
    MeasuredValue("=1+1", "t", "mm", math.nan, note="=cmd"),
    MeasuredValue("FHI", "t", "1", -0.00001, math.nan, (0.65, 0.75)),
)


def cells(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def found(image_id: str, points: Any, confidence: float, **changes: Any) -> LandmarkPrediction:
    one = prediction(count=len(points), image_id=image_id, points=np.array(points), **changes)
    return replace(one, confidence=np.full(len(points), confidence))


def test_coco_keypoints(tmp_path: Path) -> None:
    images = [
        found("one", [[10.12345, 20.0], [30.0, 5.0]], 0.75, width=100, height=80),
        found("two", [[np.nan, np.nan], [3.0, 4.0]], np.nan, width=10, height=8),
        found("three", np.full((2, 2), np.nan), 0.0, width=10, height=8),
    ]
    path = write_coco(tmp_path, ["a", "ä\n"], zip(images, ["one.dcm", "two\udcff.png", "x.png"]))
    document = json.loads(path.read_text("utf-8"), parse_constant=pytest.fail)
    (category,) = document["categories"]
    assert (category["keypoints"], category["id"]) == (["a", "ä\n"], 1)
    assert [image["file_name"] for image in document["images"]] == ["one.dcm", "two?.png", "x.png"]
    assert [(image["width"], image["height"]) for image in document["images"]] == [(100, 80), (10, 8), (10, 8)]
    first, second, third = document["annotations"]
    assert [annotation["image_id"] for annotation in document["annotations"]] == [1, 2, 3]
    assert first["keypoints"] == [10.123, 20.0, 2, 30.0, 5.0, 2] and first["num_keypoints"] == 2
    assert first["bbox"] == [10.123, 5.0, 19.877, 15.0] and first["score"] == 0.75
    assert first["area"] == pytest.approx(298.155)
    assert second["keypoints"] == [0, 0, 0, 3.0, 4.0, 2] and "score" not in second
    assert (third["num_keypoints"], third["bbox"]) == (0, [0, 0, 0, 0])


def test_coco_of_no_image(tmp_path: Path) -> None:
    document = json.loads(write_coco(tmp_path, ["a"], []).read_text("utf-8"))
    assert document["images"] == document["annotations"] == []


def test_measurement_table(tmp_path: Path) -> None:
    header, *rows = cells(write_measurements(tmp_path, [prediction(image_id="-1", measurements=VALUES)]))
    assert ",".join(header) == "image,measurement,value,unit,uncertainty,normal_low,normal_high,class,note"
    assert rows == [
        ["'-1", "ANB", "3.2123", "deg", "0.7100", "3.2000", "", "class I", ""],
        ["'-1", "'=1+1", "", "mm", "", "", "", "", "'=cmd"],
        ["'-1", "FHI", "0.0000", "1", "", "0.6500", "0.7500", "", ""],
    ]


def test_note_table(tmp_path: Path) -> None:
    path = write_notes(tmp_path, [("a", "sr", "two\nlines.")])
    assert cells(path) == [["image", "writer", "note"], ["a", "sr", "two lines."]]


RADII = (2.0, 2.5, 3.0, 4.0)


def report_of(
    errors: LandmarkErrors, radii: Sequence[float] = RADII, failure_mm: float = 10.0, **facts: Any
) -> dict[str, Any]:
    """What ``metrics.json`` holds of a run."""
    known = {
        "seconds_per_image": None,
        "images_without_truth": [],
        "truth_without_image": [],
        "failed_images": [],
        "truth_outside_image": [],
    }
    return json_values({**summarise_run(errors, radii, failure_mm=failure_mm, resamples=20), **known, **facts})


def test_without_spacing_everything_in_mm_is_null(tmp_path: Path) -> None:
    errors = LandmarkErrors(("a", "b"), ("L",), np.array([[3.0], [5.0]]), np.full((2, 1), np.nan))
    report = report_of(errors, [2.0])
    for key in ("mre_mm", "std_mm", "median_mm", "max_mm", "failures_over_10mm_percent", "seconds_per_image"):
        assert report[key] is None
    assert report["mre_px"] == 4.0
    assert report["sdr"] == {"2.0": None}
    assert (report["points"], report["points_mm"]) == (2, 0)
    _, table = write_report(tmp_path, errors, report)
    assert table.read_text() == "image,landmark,error_px,error_mm\na,L,3.0000,\nb,L,5.0000,\n"
    summary = format_summary(report)
    assert "in pixels only: --pixel_spacing" in summary and " mm" not in summary and "-  " not in summary


def test_nothing_to_measure() -> None:
    nothing = np.full((2, 3), np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = report_of(LandmarkErrors(("a", "b"), ("1", "2", "3"), nothing, nothing))
        assert "nothing to measure" in format_summary(report)
    assert report["mre_mm"] is report["mre_px"] is None
    assert report["points"] == 0


def test_what_is_infinite_or_unknown_is_null() -> None:
    px = np.array([[math.inf, 1.0], [2.0, math.nan]])
    report = report_of(LandmarkErrors(("a", "b"), ("1", "2"), px, px), seconds_per_image=math.nan)
    assert report["mre_mm"] is report["std_mm"] is report["max_mm"] is report["seconds_per_image"] is None
    assert report["failures"]["worst"] == [{"image": "a", "landmark": "1", "error_mm": None}]
    json.dumps(report, allow_nan=False)
    format_summary(report)


@pytest.mark.parametrize(("threshold", "said"), [(10.0, "Over 10 mm: 50.0 %"), (2.5, "Over 2.5 mm: 75.0 %")])
def test_the_threshold_of_failures_is_the_one_that_was_asked_for(threshold: float, said: str) -> None:
    errors = np.array([[1.0, 3.0], [11.0, 12.0]])
    report = report_of(LandmarkErrors(("a", "b"), ("1", "2"), errors, errors), failure_mm=threshold)
    assert f"{said} of the points; largest 12.00 mm." in format_summary(report)


def test_the_interval_is_said_where_there_is_one() -> None:
    assert "bootstrap interval" in format_summary(report_of(random_run(9, 4)))
    assert "bootstrap interval" not in format_summary(report_of(random_run(1, 4)))


def test_files_hold_the_report_and_every_error(tmp_path: Path) -> None:
    errors = random_run(4, 3)
    report = report_of(
        errors,
        RADII,
        seconds_per_image=0.5,
        images_without_truth=["x.png"],
        truth_without_image=["y"],
        failed_images=("z", "w"),
    )
    json_path, csv_path = write_report(tmp_path / "new" / "out", errors, report)
    assert (json_path.name, csv_path.name) == ("metrics.json", "metrics.csv")
    assert sorted(path.name for path in json_path.parent.iterdir()) == ["metrics.csv", "metrics.json"]

    read = json.loads(json_path.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert read == report
    assert read["seconds_per_image"] == 0.5
    assert (read["images_without_truth"], read["truth_without_image"]) == (["x.png"], ["y"])
    assert read["failed_images"] == ["z", "w"]
    assert format_summary(read) == format_summary(report)
    with csv_path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["image"], row["landmark"]) for row in rows] == [
        (f"image{i}", f"L{j}") for i in range(4) for j in range(3)
    ]
    for column, expected in (("error_px", errors.px), ("error_mm", errors.mm)):
        found = [float(row[column]) if row[column] else math.nan for row in rows]
        assert expected is not None
        np.testing.assert_allclose(found, expected.ravel(), atol=5.1e-5)


def test_names_cannot_harm_spreadsheets_files_or_terminals(tmp_path: Path) -> None:
    names = ("=1+1", "-x", "a,b", 'c"d', "Küste\n", "\x1b[31mred", "\udcff")
    errors = LandmarkErrors(("@image",), names, np.ones((1, 7)), np.ones((1, 7)))
    report = report_of(errors, failed_images=["\x1b[2J", "\udcff"])
    json_path, csv_path = write_report(tmp_path, errors, report)
    with csv_path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert [row[1] for row in rows[1:6]] == ["'=1+1", "'-x", "a,b", 'c"d', "Küste\n"]
    assert {row[0] for row in rows[1:]} == {"'@image"}
    assert json.loads(json_path.read_text(encoding="utf-8")) == report
    summary = format_summary(report)
    assert all(character.isprintable() or character == "\n" for character in summary)
    summary.encode("utf-8")


@pytest.mark.parametrize("radii", [(2.0, 2.5, 3.0, 4.0), tuple(range(1, 60)), (2.0,)])
def test_summary_fits_a_terminal(radii: tuple[float, ...]) -> None:
    errors = random_run(8, 3)
    errors = LandmarkErrors(errors.image_ids, ("A", "B" * 60, "C"), errors.px, errors.mm)
    names = [f"a rather long name of an image {i}.dcm" for i in range(12)]
    report = report_of(errors, radii, seconds_per_image=0.1234, images_without_truth=names)
    lines = format_summary(report).splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith("8 images, 3 landmarks, ")
    assert lines[0].endswith(", 0.123 s per image")
    table = lines[2:7]
    assert table[1].startswith("all landmarks")
    assert f"{report['mre_mm']:.2f}" in table[1].split()
    assert table[3].startswith("BBBBB")
    assert len({len(line) for line in table}) == 1
    if len(radii) == 4:
        assert all(f"<{radius:g} mm" in table[0] for radius in radii)
        assert [float(cell) for cell in table[1].split()[-4:]] == pytest.approx(list(report["sdr"].values()), abs=0.051)
    assert any("Images without truth (12)" in line for line in lines)
    assert "and 7 more" in format_summary(report)
    assert ("In metrics.json only" in format_summary(report)) is (len(radii) > 4)
