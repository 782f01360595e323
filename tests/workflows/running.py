"""Run the bundle as its users do: in this process with overrides, or as a command of its own."""

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import monai
import torch
from ignite.engine import Events
from monai.bundle import ConfigWorkflow

from bundle.errors import find_bundle_error
from bundle.training import decoder_training
from tests.workflows.forked import FORKS, run_forked

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"

#: A network that is quick on images of 320 rows.
TINY_NETWORK = {"working_sides": [160, 320], "local_side": 320, "local_window": 64, "local_cells": 16}

#: The smallest vision transformer with the paper's decoders.
TINY_PAPER_NETWORK = {
    "encoder": {"name": "vit_tiny_patch16_224", "facet": "key", "block": 1, "stride": 8},
    "log_binning": True,
    "working_sides": [96],
    "working_side": "short",
    "resampling": "lanczos",
    "negative": False,
    "whitening": False,
    "global_channels": 16,
    "local_channels": 16,
    "local_side": 0,
    "local_window": 64,
    "local_cells": 0,
}

#: A training of both of the paper's stages, in seconds.
TINY_PAPER_TRAINING: dict[str, Any] = {
    "network": TINY_PAPER_NETWORK,
    "encoder_weights": "random",
    "warps": 4,
    "global_iterations": 2,
    "local_iterations": 2,
}


def read_config(name: str) -> dict[str, Any]:
    return json.loads((CONFIGS / f"{name}.json").read_text(encoding="utf-8"))


def tiny_training(**changed: Any) -> dict[str, Any]:
    """Settings of a training of seconds."""
    return {"network": TINY_NETWORK, **changed}


@contextlib.contextmanager
def at_bundle_root() -> Iterator[None]:
    """The bundle is run from its own folder; what a run changes in this process is put back."""
    folder, hook, path, random = Path.cwd(), sys.excepthook, list(sys.path), torch.random.get_rng_state()
    os.chdir(ROOT)
    try:
        yield
    finally:
        os.chdir(folder)
        sys.excepthook, sys.path[:] = hook, path
        monai.utils.set_determinism(seed=None)
        torch.random.set_rng_state(random)


def open_workflow(*names: str, kind: str, **overrides: Any) -> ConfigWorkflow:
    files = [f"configs/{name}.json" for name in names]
    return ConfigWorkflow(files, workflow_type=kind, logging_file=False, **as_text(overrides))


def as_text(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Paths as the configuration has them: as text."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in overrides.items()}


def run(*names: str, kind: str = "infer", **overrides: Any) -> ConfigWorkflow:
    """Run configurations, the later over the earlier, in this process."""
    with at_bundle_root():
        workflow = open_workflow(*names, kind=kind, **overrides)
        workflow.initialize()
        workflow.run()
        workflow.finalize()
    return workflow


def interrupt(workflow: ConfigWorkflow, engine: str, iterations: int, action: Callable[[], None]) -> None:
    """Do something after some iterations of an engine of a workflow; whatever a training has done is kept by then."""
    decoder_training.SAVE_EVERY = 0.0
    found = workflow.parser.get_parsed_content(engine)
    found.add_event_handler(Events.ITERATION_COMPLETED(once=iterations), action)


def run_until_killed(engine: str, iterations: int, *names: str, kind: str = "infer", **overrides: Any) -> None:
    """Run configurations in a process of its own that is killed after some iterations of an engine."""
    process = FORKS.Process(target=_run_and_die, args=(engine, iterations, names, kind, overrides))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def _run_and_die(engine: str, iterations: int, names: Sequence[str], kind: str, overrides: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    with at_bundle_root():
        workflow = open_workflow(*names, kind=kind, **overrides)
        workflow.initialize()
        interrupt(workflow, engine, iterations, lambda: os.kill(os.getpid(), signal.SIGKILL))
        workflow.run()


def train(*overlays: str, **overrides: Any) -> ConfigWorkflow:
    return run("train", *overlays, kind="train", **overrides)


def train_decoders(**overrides: Any) -> ConfigWorkflow:
    return run("train_decoders", "paper", kind="train", **overrides)


def content(*names: str, get: str | Sequence[str], kind: str = "infer", **overrides: Any) -> Any:
    """What one entry of configurations, or each of several, comes to; nothing is run."""
    with at_bundle_root():
        workflow = open_workflow(*names, kind=kind, **overrides)
        workflow.initialize()
        if isinstance(get, str):
            return workflow.parser.get_parsed_content(get)
        return [workflow.parser.get_parsed_content(key) for key in get]


def command(run_id: str, *names: str, **overrides: Any) -> list[str]:
    """The command line of a run."""
    files = [f"configs/{name}.json" for name in names]
    line = [sys.executable, "-m", "monai.bundle", "run", run_id, "--config_file"]
    line.append(files[0] if len(files) == 1 else str(files))
    for name, value in as_text(overrides).items():
        line += [f"--{name}", str(value)]
    return line


def environment() -> dict[str, str]:
    """That of a command: one thread, as in this process (see conftest.py), for results that can be compared."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def run_command(run_id: str, *names: str, **overrides: Any) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as log:
        return run_forked("monai.bundle", command(run_id, *names, **overrides)[3:], ROOT, Path(log))


def failures(folder: Path) -> dict[str, str]:
    """What ``errors.csv`` says of each file, by its name."""
    with (folder / "errors.csv").open(encoding="utf-8", newline="") as file:
        return {Path(row["file"]).name: row["reason"] for row in csv.DictReader(file)}


def refusal(action: Callable[[], Any]) -> str:
    """The one sentence with which the product refuses; anything else is a failure."""
    try:
        action()
    except Exception as error:
        ours = find_bundle_error(error)
        if ours is None:
            raise
        message = str(ours)
        assert message.endswith(".") and "\n" not in message and len(message) > 30, message
        return message
    raise AssertionError("nothing was refused")
