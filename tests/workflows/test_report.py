"""The report and the logs of real runs, these by MONAI's option ``--tracking``."""

import json
from pathlib import Path
from typing import Any

import pytest
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
    run("evaluate", **settings(small, tmp_path, tracking="configs/tracking_tensorboard.json"))
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    metrics = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert f'<span class="big">{metrics["mre_mm"]:.2f}</span>' in text
    assert "Template phantom_000.dcm" in text and "<dd>zero-shot</dd>" in text
    assert not (tmp_path / ".run").exists()
    events = EventAccumulator(str(tmp_path / "logs")).Reload()
    assert abs(events.Scalars("mre_mm")[0].value - metrics["mre_mm"]) < 1e-4


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


def test_mlflow_keeps_metrics_settings_and_the_report(
    small: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    store = {"tracking": "configs/tracking_mlflow.json", "tracking_uri": f"sqlite:///{tmp_path}/mlruns.db"}
    run("evaluate", **settings(small, tmp_path / "out", **store))
    client = mlflow.MlflowClient(store["tracking_uri"])
    (logged,) = client.search_runs(client.get_experiment_by_name("one-shot-landmarks").experiment_id)
    assert logged.info.status == "FINISHED" and logged.info.run_name.startswith("evaluation-")
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert abs(logged.data.metrics["mre_mm"] - metrics["mre_mm"]) < 1e-9
    assert "working_sides" in logged.data.params["network"]
    assert [file.path for file in client.list_artifacts(logged.info.run_id)] == ["report.html"]
