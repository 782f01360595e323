"""The files that a run writes once: COCO keypoints, the table of measurements, the table of notes."""

import csv
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundle.records.prediction import LandmarkPrediction, MeasuredValue
from bundle.writers.run_tables import write_coco, write_measurements, write_notes
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
