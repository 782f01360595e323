import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor

from bundle.data import Cases, Failures, Journal, ResultFolder
from bundle.data.result_folder import CHECKSUMS
from bundle.errors import ConfigError
from bundle.handlers import PredictionSaver
from bundle.handlers.savers import as_prediction
from bundle.io.landmark_files import read_landmark_table
from bundle.measurements import read_measurements
from bundle.records.landmarks import LandmarkSet
from bundle.records.prediction import PREDICTION_COLUMNS, Pose
from bundle.records.template import Template

NAMES = ("a", "b")
TEMPLATE = Template(None, LandmarkSet(NAMES, np.zeros((2, 2))), None, "template.png", size=(50, 40))


def pair(name: str, spacing: tuple[float, float] = (0.5, 0.25)) -> tuple[dict[str, Any], dict[str, Any]]:
    """What goes into an engine and what comes out, for one image of 40 x 50 pixels."""
    meta = {"filename_or_obj": f"/images/{name}.png", "pixel_to_lps": np.diag([0.5, 0.25, 1.0])}
    image = MetaTensor(torch.rand(1, 40, 50), meta=meta)
    found = torch.tensor([[10.0, 20.0, 0.9, 1.5, 2.0, 0.8, 3.0], [30.0, 5.0, 0.7, 2.5, 3.0, 0.6, 4.5]])
    output = {
        "pred": found,
        "spacing": torch.tensor(spacing),
        "spacing_source": "PixelSpacing",
    }
    return {"image": image, "image_id": name}, output


def saver_of(folder: Path, *ids: str, failures: Failures | None = None, **settings: Any) -> PredictionSaver:
    cases = Cases([{"image": f"/images/{name}.png", "image_id": name} for name in ids])
    for file, _ in () if failures is None else failures.rows:
        cases.items.append({"image": file, "image_id": Path(file).stem})
    journal = Journal(ResultFolder(folder, writers=settings.get("writers", ("json", "markups", "overlay"))), cases, {})
    return PredictionSaver(TEMPLATE, failures or Failures(), journal, **settings)


def run(saver: PredictionSaver, *pairs: tuple[dict[str, Any], dict[str, Any]], stop: bool = False) -> None:
    def images() -> Iterator[Any]:
        yield from ([one] for one in pairs)
        if stop:
            raise KeyboardInterrupt

    def step(engine: Engine, batch: Any) -> Any:
        engine.state.batch = [inputs for inputs, _ in batch]
        return [outputs for _, outputs in batch]

    engine = Engine(step)
    saver.attach(engine)
    engine.run(images(), max_epochs=1)


def test_an_item_becomes_a_prediction() -> None:
    inputs, outputs = pair("one")
    prediction = as_prediction({**inputs, **outputs}, NAMES)
    assert (prediction.image_id, prediction.path) == ("one", Path("/images/one.png"))
    assert (prediction.width, prediction.height, prediction.spacing) == (50, 40, (0.5, 0.25))
    np.testing.assert_array_equal(prediction.points, [[10, 20], [30, 5]])
    for index, name in enumerate(PREDICTION_COLUMNS[2:], start=2):
        np.testing.assert_allclose(getattr(prediction, name), outputs["pred"][:, index], rtol=1e-6)


def test_files_and_tables_in_the_order_of_the_cases(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saver = saver_of(tmp_path, "one", "two")
    run(saver, pair("two"), pair("one"))
    saver.finish()
    expected = {f"{name}{suffix}" for name in ("one", "two") for suffix in (".json", ".mrk.json", ".png")}
    assert {path.name for path in tmp_path.iterdir()} == {
        *expected,
        "landmarks.csv",
        "poses.csv",
        "errors.csv",
        CHECKSUMS,
    }
    table = read_landmark_table(tmp_path / "landmarks.csv")
    assert list(table) == ["one", "two"]
    np.testing.assert_allclose(table["one"].points, [[10, 20], [30, 5]])
    told = capsys.readouterr().out
    assert "2 image(s) with 2 landmarks" in told and "mean confidence 0.70" in told


def test_only_the_files_that_are_wanted(tmp_path: Path) -> None:
    saver = saver_of(tmp_path, "one", writers=["json"])
    run(saver, pair("one", (float("nan"), float("nan"))))
    saver.finish()
    assert {path.name for path in tmp_path.iterdir()} == {
        "one.json",
        "landmarks.csv",
        "poses.csv",
        "errors.csv",
        CHECKSUMS,
    }
    document = json.loads((tmp_path / "one.json").read_text(encoding="utf-8"))
    assert [(landmark["x"], landmark["x_mm"]) for landmark in document["landmarks"]] == [(10.0, None), (30.0, None)]


def test_failures_end_the_program_after_everything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failures = Failures()
    for number in range(12):
        failures.add(f"/images/{number}.png", f"/images/{number}.png is broken.")
    saver = saver_of(tmp_path, "one", failures=failures, writers=[])
    run(saver, pair("one"))
    with pytest.raises(SystemExit) as status:
        saver.finish()
    assert status.value.code == 1
    assert len((tmp_path / "errors.csv").read_text().splitlines()) == 13
    assert (tmp_path / "landmarks.csv").is_file()
    told = capsys.readouterr().err.splitlines()
    assert told[:-1] == [f"error: /images/{number}.png is broken." for number in range(12)], "one line each"
    assert told[-1] == f"12 file(s) could not be used: {tmp_path / 'errors.csv'}"


def test_nothing_but_failures(tmp_path: Path) -> None:
    failures = Failures()
    failures.add("/images/0.png", "/images/0.png is broken.")
    saver = saver_of(tmp_path, failures=failures, writers=[])
    run(saver)
    with pytest.raises(SystemExit) as status:
        saver.finish()
    assert status.value.code == 2


def test_what_a_killed_run_left_half_written_goes(tmp_path: Path) -> None:
    for name in (f".{'0f' * 8}.tmp", ".other.tmp", "notes.tmp"):
        (tmp_path / name).write_text("half")
    saver = saver_of(tmp_path, "one", writers=["json"])
    run(saver, pair("one"))
    assert {path.name for path in tmp_path.iterdir()} == {".other.tmp", "notes.tmp", "one.json", ".run"}


@pytest.mark.parametrize("writers", ["json", "json,coco", ["json"]])
def test_writers_as_words(tmp_path: Path, writers: Any) -> None:
    saver = saver_of(tmp_path, "one", writers=writers)
    run(saver, pair("one"))
    assert (tmp_path / "one.json").is_file() and not list(tmp_path.glob("*.png"))


@pytest.mark.parametrize("writers", [["pdf"], ["json", "json"], "json pdf", 3])
def test_writers_that_cannot_be(tmp_path: Path, writers: Any) -> None:
    with pytest.raises(ConfigError, match=r"writers is .*expected different names from json, .*sr, coco"):
        saver_of(tmp_path, writers=writers)


def test_identifiers_are_wanted_or_not(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="include_identifiers is 'yes'"):
        saver_of(tmp_path, include_identifiers="yes")


def definitions(folder: Path) -> Path:
    path = folder / "definitions.json"
    entries = [
        {"name": "width", "kind": "distance", "points": ["a", "b"]},
        {"name": "slope", "kind": "angle_between_lines", "lines": [["a", "b"], ["b", "a"]]},
    ]
    document = {"schema": "one-shot-landmarks/measurements/1", "measurements": entries}
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_measurements_and_run_files(tmp_path: Path) -> None:
    plan = read_measurements(definitions(tmp_path), NAMES)
    out = tmp_path / "out"
    saver = saver_of(out, "one", "two", writers=["json", "coco"], measurements=plan)
    run(saver, pair("two", (float("nan"), float("nan"))), pair("one"))
    saver.finish()
    written = {path.name for path in out.iterdir()}
    assert written == {
        "one.json",
        "two.json",
        "keypoints.json",
        "landmarks.csv",
        "poses.csv",
        "measurements.csv",
        "errors.csv",
        CHECKSUMS,
    }
    _, *rows = (out / "measurements.csv").read_text(encoding="utf-8").splitlines()
    length = float(np.hypot(20 * 0.5, 15 * 0.25))
    assert rows[0].startswith(f"one,width,{length:.4f},mm,") and rows[1].startswith("one,slope,180.0000,deg,")
    assert rows[2] == "two,width,,mm,,,,,the pixel spacing is unknown" and rows[3].startswith("two,slope,180.0000,deg")
    values = json.loads((out / "one.json").read_text(encoding="utf-8"))["measurements"]
    assert [value["name"] for value in values] == ["width", "slope"]
    assert values[0]["value"] == pytest.approx(length, abs=1e-4) and values[0]["uncertainty"] > 0
    images = json.loads((out / "keypoints.json").read_text(encoding="utf-8"))["images"]
    assert [(image["name"], image["width"], image["height"]) for image in images] == [("one", 50, 40), ("two", 50, 40)]


def test_a_report_that_cannot_be_written_is_a_note_and_no_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("highdicom")
    saver = saver_of(tmp_path, "one", writers=["json", "sr"])
    run(saver, pair("one"))
    saver.finish()
    assert {path.name for path in tmp_path.iterdir()} == {
        "one.json",
        "landmarks.csv",
        "poses.csv",
        "errors.csv",
        "notes.csv",
        CHECKSUMS,
    }
    header, row = (tmp_path / "notes.csv").read_text(encoding="utf-8").splitlines()
    assert header == "image,writer,note" and row.startswith("one,sr,")
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("note: one.png") and told[1].startswith("1 file(s) not written")


def test_reading_and_finding_are_timed_but_not_writing(tmp_path: Path) -> None:
    def images() -> Iterator[Any]:
        for name in ("one", "two"):
            time.sleep(0.02)
            yield [pair(name)]

    def step(engine: Engine, batch: Any) -> Any:
        time.sleep(0.03)
        engine.state.batch = [inputs for inputs, _ in batch]
        return [outputs for _, outputs in batch]

    saver = saver_of(tmp_path, "one", "two", writers=["json"])
    make = saver.files["json"]
    saver.files["json"] = lambda *args: time.sleep(0.3) or make(*args)
    engine = Engine(step)
    saver.attach(engine)
    seconds: list[float] = []
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: seconds.append(saver.timer.value()))
    engine.run(images(), max_epochs=1)
    assert len(seconds) == 2 and all(0.05 <= one < 0.3 for one in seconds)


def test_images_of_another_kind_come_first_and_are_not_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = read_measurements(definitions(tmp_path), NAMES)
    out = tmp_path / "out"
    poses = {
        "plain": Pose(kind_confidence=0.9),
        "turned": Pose(turn=90.0, changed=True, kind_confidence=0.9),
        "film": Pose(turn=90.0, mirrored=True, changed=True, kind_confidence=0.8),
        "hand": Pose(kind_confidence=0.1),
    }
    pairs = []
    for name, pose in poses.items():
        inputs, outputs = pair(name)
        outputs["pred"] = MetaTensor(outputs["pred"], meta={"pose": asdict(pose), "refused": ""})
        pairs.append((inputs, outputs))
    refused = pair("refused")
    refused[1]["pred"] = MetaTensor(refused[1]["pred"], meta={"refused": "shows something else."})
    saver = saver_of(out, *poses, "refused", measurements=plan)
    run(saver, *pairs, refused)
    with pytest.raises(SystemExit):
        saver.finish()
    _, *rows = (out / "poses.csv").read_text(encoding="utf-8").splitlines()
    assert rows == [
        "hand,other,0.1000,template,0.0000,0,1.0000,1.0000,0",
        "film,template,0.8000,mirrored,90.0000,0,1.0000,1.0000,1",
        "plain,template,0.9000,template,0.0000,0,1.0000,1.0000,0",
        "turned,template,0.9000,template,90.0000,0,1.0000,1.0000,1",
    ]
    table = (out / "landmarks.csv").read_text(encoding="utf-8").splitlines()
    assert next(row for row in table if row.startswith("hand")).strip(",") == "hand"  # no point of it for others
    assert all(one["x"] is not None for one in json.loads((out / "hand.json").read_text(encoding="utf-8"))["landmarks"])
    told = capsys.readouterr().out
    assert "1 image(s) probably of another kind than the template: hand" in told and "1 image(s) mirrored: film" in told
    assert "1 image(s) turned, inverted, scaled or stretched: turned" in told
    record = json.loads((out / "film.json").read_text(encoding="utf-8"))
    assert record["pose"]["side"] == "mirrored" and record["pose"]["kind"] == "template" and record["measurements"]
    assert json.loads((out / "hand.json").read_text(encoding="utf-8"))["measurements"] == []
    assert saver.failures.rows == [("/images/refused.png", "/images/refused.png shows something else.")]
    assert not (out / "refused.json").exists()
