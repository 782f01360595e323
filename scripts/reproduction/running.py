"""Run trainings and evaluations as a user would, each in a folder of its own; what is done is not done again."""

import hashlib
import json
import os
import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bundle import __version__
from bundle.errors import BundleError
from bundle.model.checkpoint import read_checkpoint, write_checkpoint
from bundle.writers.files import write_json
from reproduction.cells import Cell, Training
from reproduction.dataset import ReproductionData

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Runner:
    """Runs the cells of one output folder.

    Attributes:
        data: the images and the template.
        images: the data list of the images.
        output: the folder of the reproduction.
        say: what progress is told to.
        spent: seconds of each step, ``"wall"`` and ``"processor"``, by the name of its folder; of a step that was
            interrupted those of its last start.
    """

    data: ReproductionData
    images: Path
    output: Path
    say: Any = print
    spent: dict[str, dict[str, float]] = field(default_factory=dict)

    def run(self, cell: Cell) -> dict[str, Any]:
        """Run a cell, or read what an earlier start has found.

        Returns:
            ``metrics.json`` of the evaluation.

        Raises:
            BundleError: when a command of the cell fails; its log is in the folder.
        """
        if cell.training is None:
            model = {
                "template_image": str(self.data.template),
                "template_landmarks": str(self.data.truth),
            }
        else:
            model = {"model_path": str(self._model(cell.training, cell.keep_local))}
        preset = ["paper"] if cell.training is None else []  # a checkpoint has its own network and matching
        overlays = ["evaluate", *preset, self.data.overlay]
        settings = {
            **cell.settings,
            **model,
            "dataset_dir": str(self.images),
            "landmarks": str(self.data.truth),
            "output_dir": str(self.output / "cells" / cell.name / "evaluation"),
        }
        folder = self.output / "cells" / cell.name
        self._step("evaluation", overlays, settings, folder)
        return json.loads((folder / "evaluation" / "metrics.json").read_text(encoding="utf-8"))

    def _model(self, training: Training, keep_local: bool) -> Path:
        folder = self.output / "trainings" / training.name
        settings = {
            **training.settings,
            "template_image": str(self.data.template),
            "template_landmarks": str(self.data.truth),
            "model_path": str(folder / "model.pt"),
            "output_dir": str(folder / "run"),
        }
        self._step("training", ["train_decoders", "paper", self.data.overlay], settings, folder)
        if keep_local:
            return folder / "model.pt"
        return without_local_decoder(folder / "model.pt", folder / "model_global.pt")

    def _step(self, run_id: str, overlays: Sequence[str], settings: Mapping[str, Any], folder: Path) -> None:
        """One command of the bundle, unless ``done.json`` says that exactly this one was done."""
        done = folder / "done.json"
        overlay = folder / f"{run_id}.json"
        command = [sys.executable, "-m", "monai.bundle", "run", run_id, "--config_file"]
        files = [f"configs/{name}.json" for name in overlays]
        command.append(str([*files, str(overlay)]))
        fingerprint = _fingerprint(run_id, files, settings, self.images if run_id == "evaluation" else None)
        if done.is_file():
            record = json.loads(done.read_text(encoding="utf-8"))
            if record.get("fingerprint") == fingerprint:
                self.spent[folder.name] = record["seconds"]
                return
            self.say(f"{folder.name}: its settings have changed, it is run again")
            done.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        overlay.write_text(json.dumps(settings, indent=4) + "\n", encoding="utf-8")
        line = " ".join(shlex.quote(part) for part in ["python", *command[1:]])
        (folder / "command.txt").write_text(f"{line}\n", encoding="utf-8")
        self.say(f"{folder.name}: {run_id} ...")
        start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        status = launch(command, folder / f"{run_id}.log")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if status:
            raise BundleError(
                f"{run_id} of {folder.name} ended with status {status}: see {folder / f'{run_id}.log'}, mend the cause "
                "and start the same command again; it goes on from there."
            )
        processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        record = {
            "fingerprint": fingerprint,
            "command": line,
            "settings": dict(settings),
            "version": __version__,
            "seconds": {"wall": time.monotonic() - start, "processor": processor},
            "threads": os.environ.get("OMP_NUM_THREADS"),
        }
        write_json(done, record)
        self.spent[folder.name] = record["seconds"]


def launch(command: Sequence[str], log: Path) -> int:
    """Run a command from the folder of the bundle with its output in a file; the exit status."""
    with log.open("w", encoding="utf-8") as file:
        return subprocess.run(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, check=False).returncode


def _fingerprint(run_id: str, files: Sequence[str], settings: Mapping[str, Any], images: Path | None) -> str:
    digest = hashlib.sha256(json.dumps([run_id, settings], sort_keys=True).encode())
    for file in [*files, *([str(images)] if images else [])]:
        digest.update((ROOT / file).read_bytes())
    return digest.hexdigest()


def without_local_decoder(model: Path, path: Path) -> Path:
    """The same checkpoint without its local decoder: the method up to the global decoder.

    Raises:
        CheckpointError: when the model cannot be read or the other file not be written.
    """
    checkpoint = read_checkpoint(model)
    decoders = {name: value for name, value in checkpoint.decoders.items() if not name.startswith("local_decoder.")}
    network = {**checkpoint.network, "local_channels": 0}
    return write_checkpoint(path, replace(checkpoint, decoders=decoders, network=network))
