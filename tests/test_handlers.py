"""From an engine's items to files, tables, metrics and the report, in one run or after a killed one."""

import json
import re
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

from bundle.data.cases import CHECKSUMS, Cases, ResultFolder
from bundle.data.journal import Journal
from bundle.data.readable import Failures
from bundle.errors import BundleError, ConfigError
from bundle.handlers import EvaluationSaver, PredictionSaver, RunSaver, as_prediction
from bundle.io.landmark_files import read_landmark_table
from bundle.measurements import read_measurements
from bundle.records.landmarks import LandmarkSet
from bundle.records.prediction import PREDICTION_COLUMNS, Pose
from bundle.records.radiograph import Template

TWO = ("a", "b")
#: What every run writes beside the files of its images.
ALWAYS = ("landmarks.csv", "poses.csv", "errors.csv", CHECKSUMS)
BARE = Template(None, LandmarkSet(TWO, np.zeros((2, 2))), None, "template.png", size=(50, 40))


def pair(name: str, spacing: tuple[float, float] = (0.5, 0.25)) -> dict[str, Any]:
    """What goes into an engine and comes out, for one image of 40 x 50 pixels with two landmarks."""
    meta = {"filename_or_obj": f"/images/{name}.png", "pixel_to_lps": np.diag([0.5, 0.25, 1.0])}
    return {
        "image": MetaTensor(torch.rand(1, 40, 50), meta=meta),
        "image_id": name,
        "pred": torch.tensor([[10.0, 20.0, 0.9, 1.5, 2.0, 0.8, 3.0], [30.0, 5.0, 0.7, 2.5, 3.0, 0.6, 4.5]]),
        "spacing": torch.tensor(spacing),
        "spacing_source": "PixelSpacing",
    }


def saver_of(folder: Path, *ids: str, failures: Failures | None = None, **settings: Any) -> PredictionSaver:
    cases = Cases([{"image": f"/images/{name}.png", "image_id": name} for name in ids])
    for file, _ in () if failures is None else failures:
        cases.items.append({"image": file, "image_id": Path(file).stem})
    journal = Journal(
        ResultFolder(folder, writers=settings.get("writers", ("json", "markups", "overlay"))), cases, "settings"
    )
    return PredictionSaver(BARE, failures or Failures(), journal, **settings)


def run(saver: RunSaver, *items: dict[str, Any], stop: int = 99) -> Engine:
    """A run over images, which is killed after ``stop`` of them."""

    def step(engine: Engine, batch: Any) -> Any:
        if engine.state.iteration > stop:
            raise KeyboardInterrupt
        return batch

    engine = Engine(step)
    saver.attach(engine)
    engine.run(iter([[one] for one in items]), max_epochs=1)
    return engine


def test_an_item_becomes_a_prediction() -> None:
    item = pair("one")
    prediction = as_prediction(item, TWO)
    assert (prediction.image_id, prediction.path) == ("one", Path("/images/one.png"))
    assert (prediction.width, prediction.height, prediction.spacing) == (50, 40, (0.5, 0.25))
    np.testing.assert_array_equal(prediction.points, [[10, 20], [30, 5]])
    for index, name in enumerate(PREDICTION_COLUMNS[2:], start=2):
        np.testing.assert_allclose(getattr(prediction, name), item["pred"][:, index], rtol=1e-6)


def test_files_and_tables_in_the_order_of_the_cases(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saver = saver_of(tmp_path, "one", "two")
    run(saver, pair("two"), pair("one"))
    saver.finish()
    expected = {f"{name}{suffix}" for name in ("one", "two") for suffix in (".json", ".mrk.json", ".png")}
    assert {path.name for path in tmp_path.iterdir()} == {*expected, *ALWAYS}
    table = read_landmark_table(tmp_path / "landmarks.csv")
    assert list(table) == ["one", "two"]
    np.testing.assert_allclose(table["one"].points, [[10, 20], [30, 5]])
    told = capsys.readouterr().out
    assert "2 image(s) with 2 landmarks" in told and "mean confidence 0.70" in told


def test_what_cannot_be_written_ends_the_run_and_frees_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of the last image, which is written when no other is worked on."""

    def refuse(*_: Any) -> None:
        raise BundleError("the disk is full")

    saver = saver_of(tmp_path, "one", writers=["json"])
    monkeypatch.setattr(saver.journal, "append", refuse)
    with pytest.raises(BundleError, match="full"):
        run(saver, pair("one"))
    run(saver_of(tmp_path, "one", writers=["json"]), pair("one"))
    assert (tmp_path / "one.json").is_file()


def test_only_the_files_that_are_wanted(tmp_path: Path) -> None:
    saver = saver_of(tmp_path, "one", writers=["json"])
    run(saver, pair("one", (float("nan"), float("nan"))))
    saver.finish()
    assert {path.name for path in tmp_path.iterdir()} == {"one.json", *ALWAYS}
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
    told = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("inference: ")]
    assert told[:-1] == [f"error: /images/{number}.png is broken." for number in range(12)], "one line each"
    assert told[-1] == f"12 file(s) could not be used: {tmp_path / 'errors.csv'}"


def test_what_a_killed_run_left_half_written_goes(tmp_path: Path) -> None:
    for name in (f".{'0f' * 8}.tmp", ".other.tmp", "notes.tmp"):
        (tmp_path / name).write_text("half")
    saver = saver_of(tmp_path, "one", writers=["json"])
    run(saver, pair("one"))
    assert {path.name for path in tmp_path.iterdir()} == {".other.tmp", "notes.tmp", "one.json", *ALWAYS}


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
    plan = read_measurements(definitions(tmp_path), TWO)
    out = tmp_path / "out"
    saver = saver_of(out, "one", "two", writers=["json", "coco"], measurements=plan)
    run(saver, pair("two", (float("nan"), float("nan"))), pair("one"))
    saver.finish()
    written = {path.name for path in out.iterdir()}
    assert written == {"one.json", "two.json", "keypoints.json", "measurements.csv", *ALWAYS}
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
    assert {path.name for path in tmp_path.iterdir()} == {"one.json", "notes.csv", *ALWAYS}
    header, row = (tmp_path / "notes.csv").read_text(encoding="utf-8").splitlines()
    assert header == "image,writer,note" and row.startswith("one,sr,")
    told = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("inference: ")]
    assert told[0].startswith("note: one.png") and told[1].startswith("1 file(s) not written")


def test_reading_and_finding_are_timed_but_not_writing(tmp_path: Path) -> None:
    def images() -> Iterator[Any]:
        for name in ("one", "two"):
            time.sleep(0.02)
            yield [pair(name)]

    def step(engine: Engine, batch: Any) -> Any:
        time.sleep(0.03)
        return batch

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
    plan = read_measurements(definitions(tmp_path), TWO)
    out = tmp_path / "out"
    poses = {
        "plain": Pose(kind_confidence=0.9),
        "turned": Pose(turn=90.0, changed=True, kind_confidence=0.9),
        "film": Pose(turn=90.0, mirrored=True, changed=True, kind_confidence=0.8),
        "hand": Pose(kind_confidence=0.1),
    }
    pairs = []
    for name, pose in poses.items():
        pairs.append(pair(name))
        pairs[-1]["pred"] = MetaTensor(pairs[-1]["pred"], meta={"pose": asdict(pose), "refused": ""})
    refused = pair("refused")
    refused["pred"] = MetaTensor(refused["pred"], meta={"refused": "shows something else."})
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
    assert saver.failures == [("/images/refused.png", "/images/refused.png shows something else.")]
    assert not (out / "refused.json").exists()


THREE = ("a", "b", "c")
NAN = float("nan")
PICTURED = Template(
    np.random.default_rng(0).random((40, 50), dtype=np.float32),
    LandmarkSet(THREE, np.array([[5.0, 6.0], [30.0, 8.0], [20.0, 33.0]])),
    (0.5, 0.5),
    "template.png",
)


def item(name: str, spacing: float) -> dict[str, Any]:
    """An image of 40 x 50 pixels whose landmarks are found 2 px to the right of the truth."""
    points = torch.from_numpy(PICTURED.landmarks.points) + torch.tensor([2.0, 0.0])
    others = torch.tensor([[0.9, 1.0, 1.0, 0.8, 3.0]] * 3, dtype=torch.float64)  # confidence 0.8, 3 px expected
    meta = {"filename_or_obj": f"/{name}.png", "pixel_to_lps": np.eye(3)}
    return {
        "image": MetaTensor(torch.rand(1, 40, 50), meta=meta),
        "image_id": name,
        "pred": torch.cat([points, others], dim=1),
        "spacing": torch.tensor([spacing] * 2),
        "spacing_source": "config",
    }


def page_of(
    folder: Path, kind: str, *names: str, cases: Cases | None = None, spacing: float = 0.5, stop: int = 9, **other: Any
) -> str:
    """The report of a run over images, which is killed before image number ``stop``."""
    cases = cases or Cases([])
    cases.items = [{"image": name, "image_id": name, "label": PICTURED.landmarks.points} for name in names]
    failures = Failures() if names else Failures([("broken.png", "broken.png is broken.")])
    cases.items += [{"image": file, "image_id": file, "label": PICTURED.landmarks.points} for file, _ in failures]
    journal = Journal(ResultFolder(folder), cases, "")
    make = {"evaluation": EvaluationSaver, "inference": PredictionSaver}[kind]
    saver = make(PICTURED, failures, journal, report=True, settings={"model": "x"}, **other)

    run(saver, *(item(one["image_id"], spacing) for one in journal.remaining if names), stop=stop)
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
            page_of(tmp_path, "evaluation", "one", "two", stop=stop)
    page = page_of(tmp_path, "evaluation", "one", "two")
    assert page.count("data:image/jpeg") == 2, "both pictures"
    data = data_of(page)
    case = next(case for case in data["cases"].values() if case["id"] == "one")
    assert (data["names"], data["unit"]) == (list(THREE), "mm")
    np.testing.assert_allclose(case["t"], PICTURED.landmarks.points + 0.5)
    np.testing.assert_allclose(case["p"], PICTURED.landmarks.points + np.array([2.5, 0.5]))
    assert case["e"] == [1.0] * 3 and case["x"] == [1.5] * 3 and case["c"] == [0.8] * 3 and case["size"] == [50, 40]
    assert not list(tmp_path.glob(".run"))


def test_an_inference_of_unknown_spacing(tmp_path: Path) -> None:
    page = page_of(tmp_path, "inference", "one", spacing=NAN)
    case = data_of(page)["cases"]["0"]
    assert case["t"] is None and case["e"] == [None] * 3 and case["x"] == [3.0] * 3
    assert "Inference of 1 image" in page


def test_what_was_left_out_is_named(tmp_path: Path) -> None:
    cases = Cases([], without_truth=["no truth"], without_image=["no image"], template_copies=["the copy"])
    text = page_of(tmp_path, "evaluation", "one", cases=cases)
    for told in ("no truth", "no image", "the copy", "Evaluation of 1 image"):
        assert told in text


@pytest.mark.parametrize("kind", ["evaluation", "inference"])
def test_no_image(tmp_path: Path, kind: str) -> None:
    text = page_of(tmp_path, kind)
    assert "of 0 images" in text and "broken.png is broken." in text


def seen(saver: RunSaver, data: Iterator[dict[str, Any]]) -> list[int]:
    """How far the progress of a run is shown to be after each image."""
    shown: list[int] = []
    engine = Engine(lambda engine, batch: batch)
    saver.attach(engine)
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: shown.append(saver._bar.n))
    engine.run(([one] for one in data), max_epochs=1)
    return shown


def test_broken_files_count_as_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saver = saver_of(tmp_path, "a", "b", "c", "d")

    def images() -> Iterator[dict[str, Any]]:
        for name in "abcd":
            if name == "b":
                saver.failures.add("b", "broken")
            else:
                yield pair(name)

    assert seen(saver, images()) == [1, 3, 4]
    assert "inference: 4/4" in capsys.readouterr().err


def test_it_starts_where_an_earlier_run_stopped(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(saver_of(tmp_path, *"abcd"), pair("a"), pair("c"), pair("d"), stop=2)
    assert seen(saver_of(tmp_path, *"abcd"), map(pair, "bd")) == [3, 4]


def test_files_that_are_all_broken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert seen(saver_of(tmp_path, failures=Failures([(name, "broken") for name in "abcd"])), iter(())) == []
    assert "4/4" in capsys.readouterr().err


RADII = (2.0, 4.0)
LARGE = Template(None, LandmarkSet(("a", "b", "c"), np.zeros((3, 2))), None, "template.png", size=(60, 50))


def measured(seed: int, spacing: tuple[float, float]) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    label = torch.rand(3, 2, generator=generator) * 50
    pred = torch.cat([label + torch.randn(3, 2, generator=generator) * 4, torch.rand(3, 5)], dim=1)
    if seed == 1:
        label[2] = NAN
    return {
        "image": MetaTensor(torch.zeros(1, 60, 50), meta={"filename_or_obj": "x.png", "pixel_to_lps": np.eye(3)}),
        "image_id": f"case{seed}",
        "pred": pred,
        "label": label,
        "spacing": torch.tensor(spacing),
        "spacing_source": "config",
    }


def evaluate(
    folder: Path, items: list[dict[str, Any]], cases: Cases | None = None, failures: Failures | None = None
) -> dict[str, float]:
    cases, failures = cases or Cases([]), failures or Failures()
    cases.items = [
        {"image": item["image_id"], "image_id": item["image_id"], "label": item["label"].numpy()} for item in items
    ]
    cases.items += [{"image": file, "image_id": file, "label": np.zeros((3, 2))} for file, _ in failures]
    journal = Journal(ResultFolder(folder), cases, "")
    saver = EvaluationSaver(LARGE, failures, journal, RADII)
    engine = run(saver, *items)
    saver.finish()
    return engine.state.metrics


def metrics_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def test_figures_are_those_of_the_engine(tmp_path: Path) -> None:
    items = [measured(seed, (0.5, 0.8)) for seed in range(4)]
    metrics = evaluate(tmp_path, items)
    found = metrics_of(tmp_path)
    assert found["mre_mm"] == pytest.approx(metrics["mre_mm"], abs=1e-3)
    assert found["sdr"] == pytest.approx({"2.0": metrics["sdr_2.0mm"], "4.0": metrics["sdr_4.0mm"]})
    errors = np.concatenate(
        [np.linalg.norm(((i["pred"][:, :2] - i["label"]) * i["spacing"]).double().numpy(), axis=1) for i in items]
    )
    assert found["mre_mm"] == pytest.approx(np.nanmean(errors), abs=1e-3)
    assert (found["images"], found["landmarks"], found["points"]) == (4, 3, 11)
    assert [row["points"] for row in found["per_landmark"]] == [4, 4, 3]
    assert found["seconds_per_image"] > 0


def test_a_lost_landmark_makes_the_mean_of_the_engine_infinite(tmp_path: Path) -> None:
    items = [measured(seed, (0.5, 0.8)) for seed in range(4)]
    items[0]["pred"][0, :2] = torch.nan
    metrics = evaluate(tmp_path, items)
    assert metrics["mre_mm"] == np.inf and 0 < metrics["sdr_4.0mm"] < 100
    assert metrics_of(tmp_path)["mre_mm"] is None


def test_an_engine_has_no_means_in_mm_where_no_spacing_is_known(tmp_path: Path) -> None:
    items = [measured(seed, (np.nan, np.nan)) for seed in range(2)]
    assert not evaluate(tmp_path, items)
    assert metrics_of(tmp_path)["mre_px"] > 0


def test_the_metrics_name_what_was_left_out(tmp_path: Path) -> None:
    cases = Cases([], without_truth=["x"], without_image=["y"], template_copies=["z"], source=Path("/images/list.json"))
    failures = Failures([("/images/broken.png", "/images/broken.png is broken.")])
    with pytest.raises(SystemExit) as status:
        evaluate(tmp_path, [measured(0, (0.5, 0.5))], cases, failures)
    assert status.value.code == 1
    found = metrics_of(tmp_path)
    assert found["images_without_truth"] == ["x"] and found["truth_without_image"] == ["y"]
    assert found["template_left_out"] == ["z"] and found["failed_images"] == ["broken.png"]
    assert "broken.png is broken." in (tmp_path / "errors.csv").read_text()


def test_a_truth_outside_its_image_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing landmark that was written as (0, -1), (-999, -999) or beyond the image is no truth."""
    items = [measured(0, (0.5, 0.5)), measured(1, (0.5, 0.5)), measured(2, (0.5, 0.5))]
    items[0]["label"][1] = torch.tensor([50.0, 20.0])
    items[2]["label"] = torch.tensor([[-999.0, -999.0], [49.4, 59.4], [0.0, -1.0]])
    evaluate(tmp_path, items)
    assert metrics_of(tmp_path)["points"] == 5, "of nine, one of which is missing"
    assert metrics_of(tmp_path)["truth_outside_image"] == ["b of case0", "a of case2", "c of case2"]
    assert "Truth outside its image (3): b of case0, a of case2, c of case2" in capsys.readouterr().out
