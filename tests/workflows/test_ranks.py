"""Several ranks do what one process does, and killed runs go on, with the same or with another number of ranks.

Every start of ``torchrun`` costs many seconds, so all that has to succeed over two ranks is done in one start.
"""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bundle.model.checkpoint import read_checkpoint
from bundle.records.console import INTERRUPTED, NOT_DONE, SOME_FAILED
from tests.conftest import Sample, Trained
from tests.workflows.running import (
    ROOT,
    TINY_PAPER_TRAINING,
    as_text,
    at_bundle_root,
    environment,
    open_workflow,
    run,
    run_command,
    run_until_killed,
    train_decoders,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # on a machine that has other work to do, too

TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]


def over_two(line: list[str]) -> list[str]:
    """A command line of this Python over two ranks."""
    return [line[0], *TORCHRUN, *line[1:]]


def rows(folder: Path) -> int:
    """How many images the journal of a folder has."""
    return len(list(folder.glob(".run/*.json")))


def report(folder: Path) -> dict[str, Any]:
    found = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert found.pop("seconds_per_image") > 0
    return found


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in folder.iterdir() if path.suffix not in (".png", ".html", ".sha256")
    }


def assert_same_decoders(first: Path, second: Path) -> None:
    one, other = (read_checkpoint(path).decoders for path in (first, second))
    assert one and set(one) == set(other)
    assert [key for key in one if not torch.equal(one[key], other[key])] == []


@dataclass(frozen=True)
class Images:
    """Nine images, a tenth that is broken, and their truth."""

    folder: Path
    truth: Path


@pytest.fixture(scope="module")
def many(small: Sample, tmp_path_factory: pytest.TempPathFactory) -> Images:
    folder = tmp_path_factory.mktemp("many")
    (folder / "images").mkdir()
    header, *lines = small.truth.read_text(encoding="utf-8").splitlines()
    table = [header]
    for line in lines:
        name, cells = line.split(",", 1)
        for copy in "abc":
            shutil.copy(small.images / f"{name}.dcm", folder / "images" / f"{copy}_{name}.dcm")
            table.append(f"{copy}_{name},{cells}")
    (folder / "images" / "b_broken.png").write_text("no image\n")
    table.append(f"b_broken,{lines[0].split(',', 1)[1]}")
    (folder / "truth.csv").write_text("\n".join(table) + "\n", encoding="utf-8")
    return Images(folder / "images", folder / "truth.csv")


@dataclass(frozen=True)
class TwoRanks:
    """What two ranks left.

    Attributes:
        folder: the results of all jobs.
        statuses: exit status of each job on each rank.
        unfinished: how many images were done when the evaluation of one process was killed.
    """

    folder: Path
    statuses: list[dict[str, int]]
    unfinished: int


@pytest.fixture(scope="module")
def evaluation(trained: Trained, many: Images) -> dict[str, Any]:
    return {"model_path": trained.model, "dataset_dir": many.folder, "landmarks": many.truth}


@pytest.fixture(scope="module")
def training(small: Sample) -> dict[str, Any]:
    """Of decoders: that of filters takes seconds, and needs no ranks."""
    return {**small.template, **TINY_PAPER_TRAINING, "batch_size": 2, "local_iterations": 6}


@pytest.fixture(scope="module")
def paper(small: Sample) -> dict[str, Any]:
    return {**small.template, **TINY_PAPER_TRAINING}


@pytest.fixture(scope="module")
def two(
    trained: Trained,
    small: Sample,
    many: Images,
    evaluation: dict[str, Any],
    training: dict[str, Any],
    paper: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> TwoRanks:
    folder = tmp_path_factory.mktemp("two")

    def results(name: str) -> dict[str, Any]:
        logs = "configs/tracking_tensorboard.json"
        return {"model_path": folder / f"{name}.pt", "output_dir": folder / name, "tracking": logs}

    continued = {**evaluation, "output_dir": folder / "continued"}
    run_until_killed("evaluator", 2, "evaluate", **continued)
    unfinished = rows(folder / "continued")
    interrupted = {**training, **results("interrupted")}
    inference = {"model_path": trained.model, "writers": ["json"]}
    jobs: list[tuple[str, str, list[str], dict[str, Any], list[Any]]] = [
        ("evaluation", "infer", ["evaluate"], {**evaluation, "output_dir": folder / "evaluation"}, []),
        ("continued", "infer", ["evaluate"], continued, []),
        (
            "one image",
            "infer",
            ["inference"],
            {**inference, "dataset_dir": small.images / "phantom_002.dcm", "output_dir": folder / "one"},
            [],
        ),
        (
            "stopped inference",
            "infer",
            ["inference"],
            {**inference, "dataset_dir": many.folder, "output_dir": folder / "stopped"},
            ["evaluator", 2],
        ),
        (
            "one measured",
            "infer",
            ["evaluate"],
            {
                **evaluation,
                "dataset_dir": small.images / "phantom_002.dcm",
                "landmarks": small.truth,
                "output_dir": folder / "measured",
            },
            [],
        ),
        ("training", "train", ["train_decoders", "paper"], {**training, **results("whole")}, []),
        ("stopped training", "train", ["train_decoders", "paper"], interrupted, ["train#trainer", 3]),
        ("training again", "train", ["train_decoders", "paper"], interrupted, []),
        ("paper", "train", ["train_decoders", "paper"], {**paper, **results("paper")}, []),
    ]
    overlays = {"evaluate": "multi_gpu_evaluate", "inference": "multi_gpu_inference"}
    listed = [
        {
            "configs": [*configs, overlays.get(configs[0], "multi_gpu_train")],
            "kind": kind,
            "settings": as_text(settings),
            "stopped": stopped,
        }
        for _, kind, configs, settings, stopped in jobs
    ]
    (folder / "jobs.json").write_text(json.dumps(listed, default=str), encoding="utf-8")
    line = over_two([sys.executable, "tests/workflows/rank_driver.py", str(folder / "jobs.json")])
    with (folder / "log").open("w") as log:
        finished = subprocess.run(line, cwd=ROOT, env=environment(), stdout=log, stderr=log, timeout=500, check=False)
    assert finished.returncode == 0, (folder / "log").read_text()[-6000:]
    statuses = [json.loads((folder / f"status-{number}.json").read_text()) for number in (0, 1)]
    return TwoRanks(folder, [dict(zip((name for name, *_ in jobs), status)) for status in statuses], unfinished)


@pytest.fixture(scope="module")
def alone(evaluation: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same evaluation by one process that is not killed."""
    folder = tmp_path_factory.mktemp("alone")
    with pytest.raises(SystemExit):
        run("evaluate", **evaluation, output_dir=folder)
    return folder


def test_every_rank_ends_with_the_status_of_the_run(two: TwoRanks) -> None:
    for statuses in two.statuses:
        failed = {name: status for name, status in statuses.items() if status}
        broken = dict.fromkeys(("evaluation", "continued"), SOME_FAILED)
        assert failed == {**broken, "stopped inference": INTERRUPTED, "stopped training": INTERRUPTED}


def test_two_ranks_measure_what_one_process_measures(two: TwoRanks, alone: Path) -> None:
    folder = two.folder / "evaluation"
    assert report(folder) == report(alone) and report(folder)["images"] == 9
    for name in ("metrics.csv", "errors.csv"):
        assert (folder / name).read_bytes() == (alone / name).read_bytes()
    tables = {"metrics.json", "metrics.csv", "errors.csv", "report.html", "checksums.sha256"}
    assert {path.name for path in folder.iterdir()} == tables


def test_forked_processes_measure_what_one_measures(evaluation: dict[str, Any], alone: Path, tmp_path: Path) -> None:
    done = run_command("evaluation", "evaluate", **evaluation, output_dir=tmp_path, processes=2)
    assert done.returncode == SOME_FAILED, done.stderr
    assert done.stderr.count("file(s) could not be used") == done.stderr.count("b_broken.png") == 1, done.stderr
    assert "leaked" not in done.stderr
    assert report(tmp_path) == report(alone)
    for name in ("metrics.csv", "errors.csv"):
        assert (tmp_path / name).read_bytes() == (alone / name).read_bytes()
    assert not (tmp_path / ".run").exists()


def test_what_all_forked_processes_meet_is_said_once(evaluation: dict[str, Any], tmp_path: Path) -> None:
    settings = {**evaluation, "model_path": tmp_path / "none.pt", "output_dir": tmp_path}
    done = run_command("evaluation", "evaluate", **settings, processes=3)
    assert done.returncode == NOT_DONE
    assert done.stderr.count("error: ") == done.stderr.count("none.pt") == 1, done.stderr


def test_a_killed_evaluation_goes_on_with_two_ranks(two: TwoRanks, alone: Path) -> None:
    assert two.unfinished in (1, 2), "the last image may still have been written when the kill came"
    folder = two.folder / "continued"
    assert report(folder) == report(alone)
    for name in ("metrics.csv", "errors.csv"):
        assert (folder / name).read_bytes() == (alone / name).read_bytes()
    assert not (folder / ".run").exists()


def test_more_ranks_than_images(two: TwoRanks) -> None:
    tables = {"landmarks.csv", "poses.csv", "errors.csv", "report.html", "checksums.sha256"}
    assert {path.name for path in (two.folder / "one").iterdir()} == {"phantom_002.json", *tables}
    assert report(two.folder / "measured")["images"] == 1, "the engine's metrics do not wait for the rank without any"


def test_the_engines_own_metrics_count_what_was_done_before(
    trained: Trained, small: Sample, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"model_path": trained.model, "dataset_dir": small.images, "landmarks": small.truth}

    def stop(engine: Any) -> None:
        raise KeyboardInterrupt

    with at_bundle_root():
        workflow = open_workflow("evaluate", kind="infer", **as_text(settings), output_dir=str(tmp_path))
        workflow.initialize()
        evaluator = workflow.parser.get_parsed_content("evaluator")
        evaluator.add_event_handler(Events.ITERATION_STARTED(once=2), stop)
        with pytest.raises(KeyboardInterrupt):
            workflow.run()
    assert rows(tmp_path) == 1
    workflow = run("evaluate", **settings, output_dir=tmp_path)
    assert "continuing: 1 of 3 images" in capsys.readouterr().out
    metrics = workflow.parser.get_parsed_content("evaluator").state.metrics
    found = report(tmp_path)
    assert found["images"] == 3 and metrics["mre_mm"] == pytest.approx(found["mre_mm"], abs=1e-3)
    assert metrics["sdr_2.0mm"] == pytest.approx(found["sdr"]["2.0"])


def test_a_stopped_inference_of_two_ranks_goes_on_with_one(
    two: TwoRanks, trained: Trained, many: Images, tmp_path: Path
) -> None:
    stopped = two.folder / "stopped"
    done = {path: path.stat().st_mtime_ns for path in stopped.glob("*_phantom_*.json")}
    assert len(done) == rows(stopped) == 4 and not (stopped / "landmarks.csv").exists()
    for folder in (stopped, tmp_path):
        with pytest.raises(SystemExit):
            run("inference", model_path=trained.model, dataset_dir=many.folder, writers=["json"], output_dir=folder)
    assert files(stopped) == files(tmp_path)
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in done.items()), "nothing is done again"


class TestTraining:
    def test_each_number_of_ranks_gives_one_result(self, two: TwoRanks) -> None:
        """Stopped in an epoch's midst and continued, to the last bit."""
        assert_same_decoders(two.folder / "whole.pt", two.folder / "interrupted.pt")

    def test_only_the_logs_of_one_rank_are_left(self, two: TwoRanks) -> None:
        for name in ("whole", "interrupted"):
            left = [path for path in (two.folder / name).rglob("*") if path.is_file()]
            assert left and all("tfevents" in path.name for path in left)
        processes = {path.name.split(".")[-2] for path in (two.folder / "whole").rglob("*tfevents*")}
        assert len(processes) == 1
        (folder,) = (two.folder / "whole").iterdir()
        logged = EventAccumulator(str(folder)).Reload()
        assert (len(logged.Scalars("train_loss")), len(logged.Scalars("global_train_loss"))) == (6, 2)

    def test_a_step_is_that_of_one_process(self, two: TwoRanks, paper: dict[str, Any], tmp_path: Path) -> None:
        """All warps are in each step and the global decoder has no batch normalisation, so nothing else differs.

        Adam makes a whole step of a gradient that is nearly zero, whatever its sign: single weights may differ.
        """
        train_decoders(**{**paper, "local_iterations": 1}, model_path=tmp_path / "model.pt", output_dir=tmp_path)
        one, other = (read_checkpoint(path).decoders for path in (tmp_path / "model.pt", two.folder / "paper.pt"))
        start = read_initial(paper)
        for key in (key for key in one if key.startswith("global_decoder")):
            moved = (one[key] - start[key]).abs()
            assert float(moved.median()) > 1e-4
            same = (one[key] - other[key]).abs() < 0.01 * moved
            assert float(same.float().mean()) > 0.99, key

    def test_both_stages_of_the_paper(self, two: TwoRanks, paper: dict[str, Any], small: Sample) -> None:
        checkpoint = read_checkpoint(two.folder / "paper.pt")
        assert {key.split(".")[0] for key in checkpoint.decoders} == {"global_decoder", "local_decoder"}
        start = read_initial(paper)
        moved = {key.split(".")[0] for key, value in checkpoint.decoders.items() if not torch.equal(value, start[key])}
        assert moved == {"global_decoder", "local_decoder"}


def read_initial(paper: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The decoders before any training."""
    from bundle.model import build_network
    from bundle.networks import NetworkSettings

    return build_network(NetworkSettings(**paper["network"]), encoder_weights="random").state_dict()
