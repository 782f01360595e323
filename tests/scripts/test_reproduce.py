"""The reproduction as its users run it, on a tiny data set with a tiny training."""

import ast
import csv
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import reproduce
from monai.bundle import ConfigWorkflow
from reproduction import budgets, cells, paper_figures, running

from bundle.model.checkpoint import read_checkpoint
from tests.conftest import Sample
from tests.workflows.running import at_bundle_root

TINY = {
    "network#working_sides": [96],
    "network#global_channels": 8,
    "network#local_channels": 8,
    "network#local_window": 64,
    "warps": 2,
    "batch_size": 2,
    "global_iterations": 1,
    "local_iterations": 1,
}


@pytest.fixture
def dataset(small: Sample, tmp_path: Path) -> Path:
    """A prepared data set of three images and the template."""
    images = [small.image, *sorted(small.images.glob("*.dcm"))]
    rows = list(csv.reader(small.truth.open()))
    own = list(csv.reader(small.landmarks.open()))[1:]
    rows.insert(1, ["phantom_000", *(cell for row in own for cell in row[1:3])])
    with (tmp_path / "landmarks.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    content = {
        "name": "phantoms",
        "overlay": "head",
        "template": "phantom_000",
        "landmarks": "landmarks.csv",
        "splits": ["training"],
        "training": [{"image": str(path), "image_id": path.stem} for path in images],
    }
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Commands run in this process, which saves their start; the names of their folders are listed."""
    ran: list[str] = []

    def launch(command: Sequence[str], log: Path) -> int:
        files = ast.literal_eval(command[command.index("--config_file") + 1])
        kind = "train" if "training" in command else "infer"
        with at_bundle_root():
            workflow = ConfigWorkflow(files, workflow_type=kind, logging_file=False)
            workflow.initialize()
            workflow.run()
            workflow.finalize()
        ran.append(log.parent.name)
        return 0

    monkeypatch.setattr(running, "launch", launch)
    monkeypatch.setitem(budgets.BUDGETS, "small", TINY)
    monkeypatch.setitem(budgets.ENCODER_NETWORKS, "xfeat", {"network#working_sides": [96]})
    return ran


def call(what: str, dataset: Path, output: Path, *options: str) -> int:
    return reproduce.main([what, "--dataset", str(dataset), "--output", str(output), "--budget", "small", *options])


def test_table_2_and_what_it_shares(dataset: Path, in_this_process: list[str], tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert call("table2", dataset, output, "--seeds", "0") == 0
    assert in_this_process == [
        *("xfeat-plain", "xfeat-bdm", "xfeat-small-seed0"),
        *("xfeat-small-global-seed0", "xfeat-small-local-seed0"),
    ]
    rows = list(csv.reader((output / "table2.csv").open()))
    assert rows[0] == ["row", "data", "seeds", "MRE mm", *(f"SDR {r} mm %" for r in ("2", "2.5", "3", "4"))]
    ours = [row for row in rows[1:] if row[1] == "phantoms"]
    assert [row[0] for row in ours] == ["plain matching", "+ BDM", "+ global decoder", "+ local decoder"]
    assert [row[2] for row in ours] == ["nothing random", "nothing random", "0", "0"]
    for row, name in zip(ours, ("xfeat-plain", "xfeat-bdm", "xfeat-small-global-seed0", "xfeat-small-local-seed0")):
        metrics = json.loads((output / "cells" / name / "evaluation" / "metrics.json").read_text())
        assert row[3] == f"{metrics['mre_mm']:.2f}" and metrics["images"] == 3
    paper = [row for row in rows if row[1] == "hand"]
    assert [row[3] for row in paper] == ["3.72", "2.82", "1.86", "1.41"] and paper[3][4] == "86.66"
    markdown, latex = (output / "table2.md").read_text(), (output / "table2.tex").read_text()
    assert (
        "| + BDM (paper) | hand |" in markdown
        and "Nothing was selected by this run" in markdown
        and "minutes of CPU time" in markdown
    )
    assert latex.count(r"\\") == 9 and r"SDR 2 mm \%" in latex
    record = json.loads((output / "cells" / "xfeat-bdm" / "done.json").read_text())
    assert record["command"].startswith("python -m monai.bundle run evaluation") and record["settings"]["matching#k"]
    command = (output / "trainings" / "xfeat-small-seed0" / "command.txt").read_text()
    assert "configs/paper.json" in command and "run training" in command
    trained, stripped = (
        read_checkpoint(output / "trainings" / "xfeat-small-seed0" / name) for name in ("model.pt", "model_global.pt")
    )
    assert {key.split(".")[0] for key in trained.decoders} == {"global_decoder", "local_decoder"}
    assert {key.split(".")[0] for key in stripped.decoders} == {"global_decoder"}

    in_this_process.clear()
    assert call("table2", dataset, output, "--seeds", "0") == 0
    assert call("table1", dataset, output, "--seeds", "0") == 0
    assert in_this_process == [], "what is done is not done again"
    table1 = (output / "table1.md").read_text()
    assert "1.82" in table1 and "EGTNLR" in table1 and "1.54" in table1

    assert call("loss", dataset, output, "--seeds", "0") == 0
    assert in_this_process == [
        *("xfeat-small-contrastive-global_only-seed0", "xfeat-small-contrastive-seed0"),
        *("xfeat-small-one_hot-global_only-seed0", "xfeat-small-one_hot-seed0"),
    ]
    models = [output / "trainings" / name / "model.pt" for name in in_this_process[::2]]
    assert [read_checkpoint(model).training["global_loss"] for model in models] == ["contrastive", "one_hot"]
    assert "4.54" in (output / "loss.md").read_text()


def test_it_goes_on_where_it_stopped(
    dataset: Path,
    in_this_process: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    launch = running.launch
    monkeypatch.setattr(running, "launch", lambda command, log: 1 if "bdm" in str(log) else launch(command, log))
    assert call("table2", dataset, tmp_path / "out", "--seeds", "0") == 2
    said = capsys.readouterr().err
    assert "error: evaluation of xfeat-bdm ended with status 1" in said and "goes on from there" in said
    monkeypatch.setattr(running, "launch", launch)
    in_this_process.clear()
    plan = cells.table2(cells.Choice("head", "xfeat", {}, [0], "small"))
    data = reproduce.read_data(dataset, None, None)
    runner = running.Runner(data, tmp_path / "out" / "images-training.json", tmp_path / "out")
    for row in plan.rows[:2]:
        runner.run(*row.cells)
    assert in_this_process == ["xfeat-bdm"]
    shutil.copy(data.truth, dataset.parent / "other.csv")
    running.Runner(replace(data, truth=dataset.parent / "other.csv"), runner.images, runner.output).run(
        *plan.rows[0].cells
    )
    assert in_this_process == ["xfeat-bdm", "xfeat-plain"], "a cell of other settings is done again"


@pytest.mark.parametrize("what", ["facets", "layers"])
def test_what_needs_a_transformer_is_listed_as_not_run(what: str, dataset: Path, tmp_path: Path) -> None:
    for options, reason in (([], "XFeat is no transformer"), (["--encoder", "dino_vits8"], "no weights at hand")):
        assert call(what, dataset, tmp_path / "out", *options) == 0
        rows = list(csv.reader((tmp_path / "out" / f"{what}.csv").open()))[1:]
        assert len(rows) == {"facets": 4, "layers": 12}[what]
        assert all(row[2].startswith("not run: ") and reason in row[2] for row in rows)


def test_plans_of_a_transformer() -> None:
    choice = cells.Choice("hand", "dino_vits8", {"dino_vits8": "dino.pth"}, [0, 1], "paper")
    facets, layers = (
        [cell for row in plan(choice).rows for cell in row.cells] for plan in (cells.facets, cells.layers)
    )
    encoders = [cell.settings["network#encoder"] for cell in facets]
    assert [encoder["facet"] for encoder in encoders] == ["key", "query", "value", "token"]
    assert [cell.settings["network#encoder"]["block"] for cell in layers] == list(range(12))
    assert {cell.settings["encoder_weights"] for cell in [*facets, *layers]} == {"dino.pth"}
    every = {row.title: row.cells for row in cells.encoders(choice).rows if not row.not_run}
    assert [cell.name for one in every.values() for cell in one] == ["xfeat-bdm", "dino_vits8-bdm-dino_vits8"]
    assert all(cell.seed is None and cell.training is None for one in every.values() for cell in one)
    assert [len(row.cells) for row in cells.table2(choice).rows] == [1, 1, 2, 2] and not cells.BUDGETS["paper"]
    assert cells.table1(choice).rows[0].paper == (paper_figures.TABLE_1["hand"], "hand")


def test_one_cell_as_a_command(dataset: Path, tmp_path: Path) -> None:
    """The command of a cell in a process of its own, as outside of the tests."""
    plan = cells.table2(cells.Choice("head", "xfeat", {}, [0], "small"))
    data = reproduce.read_data(dataset, "training", None)
    images = reproduce.write_images(data, tmp_path / "out" / "images.json")
    runner = running.Runner(data, images, tmp_path / "out")
    found = runner.run(*plan.rows[1].cells)
    assert found["images"] == 3 and found["schema"] and runner.spent["xfeat-bdm"]["processor"] > 0
    assert "3 images" in (tmp_path / "out" / "cells" / "xfeat-bdm" / "evaluation.log").read_text()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.update(overlay=None), "has the overlay None"),
        (lambda c: c.pop("splits"), "is no prepared data set"),
        (lambda c: c.update(template="zz"), "--template is 'zz'"),
        (lambda c: c.update(training=[]), "--split is 'training'"),
    ],
)
def test_data_that_cannot_be_used(
    change: Callable, said: str, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads(dataset.read_text())
    change(content)
    dataset.write_text(json.dumps(content))
    assert call("table2", dataset, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and said in error and error.count("\n") == 1


@pytest.mark.parametrize("options", [["--seeds", "0", "0"], ["--seeds", "-1"], ["--encoder_weights", "dino"]])
def test_bad_arguments(options: list[str], dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("table2", dataset, tmp_path / "out", *options) == 2
    assert "expected" in capsys.readouterr().err
