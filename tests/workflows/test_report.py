"""The report and the logs of real runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.conftest import Sample, Trained
from tests.workflows.running import TINY_NETWORK, refusal, run, run_command


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


def test_a_killed_run_has_the_same_report(small: Sample, tmp_path: Path) -> None:
    """As a kill leaves it: the journal of the first image, and its picture."""
    from bundle.data.journal import Journal

    class Stop(Exception):
        pass

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run("evaluate", **settings(small, whole))
    append = Journal.append

    def fail_after(self: Journal, *args: Any) -> None:
        append(self, *args)
        raise Stop

    Journal.append = fail_after  # type: ignore[method-assign]
    try:
        run("evaluate", **settings(small, broken))
    except Exception:
        pass
    finally:
        Journal.append = append  # type: ignore[method-assign]
    assert not (broken / "report.html").exists() and len(list((broken / ".run").glob("*.jpg"))) == 1
    run("evaluate", **settings(small, broken))
    assert shown(broken) == shown(whole)


def shown(folder: Path) -> tuple[Any, list[str]]:
    """The data of a report, and its pictures."""
    text = (folder / "report.html").read_text(encoding="utf-8")
    found = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return json.loads(found.group(1)), sorted(re.findall(r"data:image/jpeg;base64,[\w+/=]+", text))


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


def test_without_a_report(small: Sample, tmp_path: Path) -> None:
    run("inference", **{**settings(small, tmp_path, report=False, writers=[]), "landmarks": None})
    expected = {"landmarks.csv", "poses.csv", "errors.csv", "checksums.sha256"}
    assert {path.name for path in tmp_path.iterdir()} == expected


def test_a_log_that_there_is_not(small: Sample, tmp_path: Path) -> None:
    message = refusal(lambda: run("evaluate", **settings(small, tmp_path, log_to="wandb")))
    assert "log_to is 'wandb'" in message and not (tmp_path / "metrics.json").exists()


def test_the_training_logs_its_loss(trained: Trained) -> None:
    names = set()
    for file in trained.output.glob("*/events*"):
        events = EventAccumulator(str(file))
        events.Reload()
        names |= set(events.Tags()["scalars"])
    assert "train_loss" in names
