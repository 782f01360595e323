import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.engines import Trainer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bundle.errors import ConfigError
from bundle.handlers import ExperimentLogs
from bundle.report import draw_figures
from tests.report.made_up_runs import RADII, make_run

needs_mlflow = pytest.mark.skipif(
    importlib.util.find_spec("mlflow") is None, reason="mlflow is not installed: requirements-mlflow.txt"
)


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


def run_engine(logs: ExperimentLogs, epochs: int = 2) -> None:
    """A trainer whose loss and metric are known."""
    engine = Trainer(torch.device("cpu"), epochs, [1.0, 2.0, 3.0], decollate=False)
    engine._process_function = lambda engine, batch: {"loss": 10.0 - batch}
    engine.label = "local"
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda e: e.state.metrics.update(error=float(e.state.epoch)))
    logs.attach(engine)
    engine.run()


def make_logs(folder: Path, log_to: Any, **settings: Any) -> ExperimentLogs:
    return ExperimentLogs(log_to, folder / "tensorboard", "the run", uri=f"sqlite:///{folder}/mlruns.db", **settings)


@pytest.mark.parametrize(("given", "files"), [(None, 0), ([], 0), ("tensorboard", 1), (["tensorboard"] * 2, 1)])
def test_nothing_is_written_before_an_engine_starts(tmp_path: Path, given: Any, files: int) -> None:
    logs = make_logs(tmp_path, given)
    logs.close()
    assert list(tmp_path.iterdir()) == []
    run_engine(logs, epochs=1)
    logs.log_report(tmp_path / "report.html", [])
    logs.close()
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == files


@pytest.mark.parametrize("given", ["wandb", ["tensorboard", "wandb"], 3, {"tensorboard": True}, True])
def test_other_names_are_refused(tmp_path: Path, given: Any) -> None:
    with pytest.raises(ConfigError, match="log_to is") as refused:
        make_logs(tmp_path, given)
    assert "'tensorboard' or 'mlflow'" in str(refused.value)


def test_tensorboard_gets_losses_metrics_and_figures(tmp_path: Path) -> None:
    logs = make_logs(tmp_path, "tensorboard")
    run_engine(logs)
    figures = draw_figures(make_run(6, 4), RADII)
    logs.log_report(tmp_path / "report.html", figures)
    logs.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    assert [event.value for event in events.Scalars("local_train_loss")] == [9, 8, 7, 9, 8, 7]
    assert [(event.step, event.value) for event in events.Scalars("error")] == [(1, 1), (2, 2)]
    assert set(events.Tags()["images"]) == {f"report/{figure.key}" for figure in figures}
    picture = events.Images("report/detection-curve")[0]
    assert picture.width == 2 * 460


def test_mlflow_is_asked_for_but_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"requirements-mlflow\.txt"):
        make_logs(tmp_path, "mlflow")


@needs_mlflow
def test_mlflow_gets_losses_metrics_settings_and_the_report(tmp_path: Path) -> None:
    import mlflow

    settings = {"seed": 3, "matching": {"patch": 3, "long": "x" * 9000}}
    page = tmp_path / "report.html"
    page.write_text("<p>report</p>")
    logs = make_logs(tmp_path, "mlflow", parameters=settings)
    run_engine(logs)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlruns.db")
    experiment = client.get_experiment_by_name("one-shot-landmarks")
    (run,) = client.search_runs(experiment.experiment_id)
    # A killed run goes on in the same one, though a setting that does not matter has changed.
    again = make_logs(tmp_path, "mlflow", parameters={**settings, "seed": 4, "new": 1})
    run_engine(again, epochs=1)
    again.log_report(page, draw_figures(make_run(6, 4), RADII))
    again.close()
    (run,) = client.search_runs(experiment.experiment_id)
    assert (run.info.run_name, run.info.status) == ("the run", "FINISHED")
    assert (run.data.params["seed"], run.data.params["new"], run.data.params["matching.patch"]) == ("3", "1", "3")
    assert len(client.get_metric_history(run.info.run_id, "local_train_loss")) == 9
    assert client.get_metric_history(run.info.run_id, "error")[0].value == 1
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["report.html"]


@needs_mlflow
def test_a_store_that_mlflow_no_longer_has(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="mlflow_uri is '/some/folder'"):
        ExperimentLogs("mlflow", tmp_path, "run", uri="/some/folder")
