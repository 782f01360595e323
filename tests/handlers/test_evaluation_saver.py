"""The figures of ``metrics.json`` against those of the engine's own metrics, and against their definition."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor

from bundle.data import Cases, Failures, Journal, ResultFolder
from bundle.handlers import EvaluationSaver
from bundle.records.landmarks import LandmarkSet
from bundle.records.template import Template

RADII = (2.0, 4.0)
NAN = float("nan")
TEMPLATE = Template(None, LandmarkSet(("a", "b", "c"), np.zeros((3, 2))), None, "template.png", size=(60, 50))


def outputs(seed: int, spacing: tuple[float, float]) -> dict[str, Any]:
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
    def step(engine: Engine, batch: Any) -> Any:
        engine.state.batch = [{key: item[key] for key in ("image", "image_id", "label")} for item in batch]
        return batch

    engine = Engine(step)
    cases, failures = cases or Cases([]), failures or Failures()
    cases.items = [
        {"image": item["image_id"], "image_id": item["image_id"], "label": item["label"].numpy()} for item in items
    ]
    cases.items += [{"image": file, "image_id": file, "label": np.zeros((3, 2))} for file, _ in failures.rows]
    journal = Journal(ResultFolder(folder), cases, {})
    saver = EvaluationSaver(TEMPLATE, failures, journal, RADII)
    saver.attach(engine)
    engine.run(iter([[item] for item in items]), max_epochs=1)
    saver.finish()
    return engine.state.metrics


def report(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def test_figures_are_those_of_the_engine(tmp_path: Path) -> None:
    items = [outputs(seed, (0.5, 0.8)) for seed in range(4)]
    metrics = evaluate(tmp_path, items)
    found = report(tmp_path)
    assert found["mre_mm"] == pytest.approx(metrics["mre_mm"], abs=1e-3)
    assert found["sdr"] == pytest.approx({"2.0": metrics["sdr_2.0mm"], "4.0": metrics["sdr_4.0mm"]})
    errors = np.concatenate(
        [np.linalg.norm(((i["pred"][:, :2] - i["label"]) * i["spacing"]).double().numpy(), axis=1) for i in items]
    )
    assert found["mre_mm"] == pytest.approx(np.nanmean(errors), abs=1e-3)
    assert (found["images"], found["landmarks"], found["points"]) == (4, 3, 11)
    assert [row["points"] for row in found["per_landmark"]] == [4, 4, 3]
    assert found["seconds_per_image"] > 0


def test_what_was_left_out_is_named(tmp_path: Path) -> None:
    cases = Cases([], without_truth=["x"], without_image=["y"], template_copies=["z"], source=Path("/images/list.json"))
    failures = Failures([("/images/broken.png", "/images/broken.png is broken.")])
    with pytest.raises(SystemExit) as status:
        evaluate(tmp_path, [outputs(0, (0.5, 0.5))], cases, failures)
    assert status.value.code == 1
    found = report(tmp_path)
    assert found["images_without_truth"] == ["x"] and found["truth_without_image"] == ["y"]
    assert found["template_left_out"] == ["z"] and found["failed_images"] == ["broken.png"]
    assert "broken.png is broken." in (tmp_path / "errors.csv").read_text()


def test_a_truth_outside_its_image_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing landmark that was written as (0, -1), (-999, -999) or beyond the image is no truth."""
    items = [outputs(0, (0.5, 0.5)), outputs(1, (0.5, 0.5)), outputs(2, (0.5, 0.5))]
    items[0]["label"][1] = torch.tensor([50.0, 20.0])
    items[2]["label"] = torch.tensor([[-999.0, -999.0], [49.4, 59.4], [0.0, -1.0]])
    evaluate(tmp_path, items)
    assert report(tmp_path)["points"] == 5, "of nine, one of which is missing"
    assert report(tmp_path)["truth_outside_image"] == ["b of case0", "a of case2", "c of case2"]
    assert "Truth outside its image (3): b of case0, a of case2, c of case2" in capsys.readouterr().out


def test_no_image_at_all(tmp_path: Path) -> None:
    """All files were broken."""
    with pytest.raises(SystemExit) as status:
        evaluate(tmp_path, [], failures=Failures([("broken.png", "broken.png is broken.")]))
    assert status.value.code == 2
    found = report(tmp_path)
    assert found["images"] == found["points"] == 0 and found["mre_mm"] is None and found["seconds_per_image"] is None
