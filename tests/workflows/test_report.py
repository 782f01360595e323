"""The report and the logs of real runs."""

import json
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.conftest import Sample, Trained
from tests.workflows.running import TINY_NETWORK, run, run_command


def settings(small: Sample, output: Path, **changed: Any) -> dict[str, Any]:
    return {
        **small.template,
        "network": TINY_NETWORK,
        "dataset_dir": small.images,
        "landmarks": small.truth,
        "output_dir": output,
        **changed,
    }


def test_an_evaluation_writes_the_report_and_logs_it(small: Sample, tmp_path: Path) -> None:
    run("evaluate", **settings(small, tmp_path, log_to="tensorboard"))
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    metrics = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert f'<span class="big">{metrics["mre_mm"]:.2f}</span>' in text
    assert "Template phantom_000.dcm" in text and "<dd>zero-shot</dd>" in text
    assert not (tmp_path / ".run").exists()
    events = EventAccumulator(str(tmp_path), size_guidance={"images": 0})
    events.Reload()
    assert abs(events.Scalars("mre_mm")[0].value - metrics["mre_mm"]) < 1e-4
    assert "report/landmarks" in events.Tags()["images"]


def test_an_inference_by_command(trained: Trained, small: Sample, tmp_path: Path) -> None:
    done = run_command(
        "inference", "inference", model_path=trained.model, dataset_dir=small.images, output_dir=tmp_path, writers=[]
    )
    assert done.returncode == 0, done.stderr
    said = (done.stdout + done.stderr).splitlines()
    assert len(said) <= 10 and not any(set(line) & set("\r\x1b\x08") for line in said), said
    assert not [line for line in said if "warn" in line.lower() and "monai" not in line.lower()], said
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "inference report" in text and text.count('class="shot"') == len(list(small.images.glob("*.dcm")))


def test_the_training_logs_its_loss(trained: Trained) -> None:
    names = set()
    for file in trained.output.glob("*/events*"):
        events = EventAccumulator(str(file))
        events.Reload()
        names |= set(events.Tags()["scalars"])
    assert "train_loss" in names
