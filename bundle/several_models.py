"""A mixed folder and several models: each image goes to the model whose kind it is, or to none."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from monai.bundle import ConfigWorkflow
from monai.data import Dataset

from bundle import CONFIGS, __version__
from bundle.data.cases import Cases, ResultFolder
from bundle.data.journal import NOTES, item_digest
from bundle.data.readable import Failures, ReadableImages
from bundle.errors import ConfigError, find_bundle_error, one_line
from bundle.io.folders import image_ids
from bundle.model import Model
from bundle.ranks import is_first, of_all, refuse_uninvited_ranks
from bundle.records.console import NOT_DONE, SOME_FAILED, progress
from bundle.writers.files import write_json
from bundle.writers.run_files import write_errors, write_table

#: How sure it must be that an image is of a model's kind.
_SURE = 0.5


@dataclass
class SeveralModels:
    """Sorts the images of a folder among models, and then runs the inference of each model on its own images.

    ``kinds.csv`` says which model each image went to. Each model has a folder of results by the name of its file, and
    beside it the list of its images, with which it can be run again. Several ranks share the sorting, too. A run that
    was killed goes on: what is sorted stays in the folder ``.run`` until all is done.

    Attributes:
        model_path: the checkpoints.
        open_model: opens one of them, given ``model_path``.
        cases: the images.
        load: reads an item of the cases.
        device: where it is looked at.
        results: the folder of the table, the lists and the models' folders.
        other_kinds: ``"report"`` has images that are of no model's kind in the table alone, ``"refuse"`` counts them as
            files that cannot be used, ``"ignore"`` gives each to the model to whose template it is most alike.
        dry_run: whether nothing is to be done.
        fingerprint: of what the sorting depends on beside the models and the images.
        settings: what each inference is started with, by the keys of ``configs/inference.json``.
        of_one_model: settings that fit the landmarks of one model, by name; none may be given.

    Raises:
        ConfigError: when there are not several models, or something is given that only one of them could use.
    """

    model_path: Any
    open_model: Callable[..., Model]
    cases: Cases
    load: Callable[[Any], Any]
    device: torch.device
    results: ResultFolder
    other_kinds: str
    dry_run: bool
    fingerprint: str
    settings: Mapping[str, Any]
    of_one_model: Mapping[str, Any]
    failures: Failures = field(default_factory=Failures, init=False)

    def __post_init__(self) -> None:
        refuse_uninvited_ranks()
        if not isinstance(self.model_path, list | tuple) or len(self.model_path) < 2:
            raise ConfigError(
                f"model_path is {self.model_path!r}, but this configuration is for several models: give them as in "
                "--model_path \"['heads.pt','hands.pt']\"."
            )
        for name, value in self.of_one_model.items():
            if value:
                raise ConfigError(
                    f"{name} is for the landmarks of one model: leave it out, and run that model again with it on the "
                    f"list of its images that this run writes to {self.results.path}."
                )
        self.cases.require()
        paths = [Path(str(path)) for path in self.model_path]
        self.models = dict(zip(image_ids([path.with_suffix("") for path in paths], ""), paths))

    def run(self) -> None:
        """Sort, say where each image goes, and find the landmarks.

        Raises:
            SystemExit: with status 1 where some files could not be used, with 2 where no other was.
        """
        if self.dry_run:
            among = ", ".join(self.models)
            print(f"dry run of {len(self.cases.items)} image(s): they would be sorted among {among}")
            return
        sure = self._sort()
        names = [*self.models]
        homes = {
            image: names[int(np.argmax(of_each))]
            for image, of_each in sure.items()
            if max(of_each) >= _SURE or self.other_kinds == "ignore"
        }
        if is_first():
            self._write(sure, homes)
        idist.barrier()
        statuses = [self._infer(name) for name in names if name in homes.values()]
        if is_first():
            write_errors(self.results.path, self.failures)
            shutil.rmtree(self.results.path / NOTES, ignore_errors=True)
        if len(self.failures) or any(statuses):
            raise SystemExit(NOT_DONE if all(status == NOT_DONE for status in statuses) else SOME_FAILED)

    def _sort(self) -> dict[str, list[float]]:
        """By its path, how sure it is that an image is of the kind of each model; every rank has all of them."""
        models = [self.open_model(model_path=path) for path in self.models.values()]
        inferers = [model.inferer(pose="auto") for model in models]
        for name, inferer in zip(self.models, inferers):
            if not inferer.looks:
                raise ConfigError(
                    f"the model {name} was saved without its images (keep_images false), so nothing can be found to be "
                    "of its kind: train it with --keep_images True."
                )
        under = [__version__, self.fingerprint, *(model.fingerprint for model in models)]
        own = self.cases.items[idist.get_rank() :: idist.get_world_size()]
        notes = {
            item["image"]: self.results.path / NOTES / f"{item_digest({**item, 'under': under})}.json" for item in own
        }
        sure = {path: noted for path, note in notes.items() if (noted := _noted(note))}
        left = Dataset([{**item, "path": item["image"]} for item in own if item["image"] not in sure], self.load)
        looks = ReadableImages(left, self.failures)
        for batch in progress(looks, total=len(own), initial=len(sure), desc="sorting", disable=not is_first()):
            image, (path,) = batch["image"].to(self.device), batch["path"]
            sure[path] = [inferer.poses(image)[0].kind_confidence for inferer in inferers]
            write_json(notes[path], sure[path])
        everywhere = {path: of_each for share in of_all(sure) for path, of_each in share.items()}
        if self.other_kinds == "refuse":
            for path, of_each in sure.items():
                if max(of_each) < _SURE:
                    self.failures.add(path, f"{path} is probably of no model's kind: take it out of the folder.")
        self.failures = Failures(row for rows in of_all(list(self.failures)) for row in rows)
        return {item["image"]: everywhere[item["image"]] for item in self.cases.items if item["image"] in everywhere}

    def _write(self, sure: Mapping[str, list[float]], homes: Mapping[str, str]) -> None:
        folder, items = self.results.path, {item["image"]: item for item in self.cases.items}
        ordered = sorted(sure, key=lambda image: image in homes)  # those of no kind come first
        rows = ((self.cases.name_of(image), homes.get(image, ""), *sure[image]) for image in ordered)
        header = ("file", "model", *(f"{name}_kind_confidence" for name in self.models))
        table = write_table(folder / "kinds.csv", header, rows)
        for name in self.models:
            of_model = [image for image in sure if homes.get(image) == name]
            write_json(folder / f"{name}.json", [_entry(items[image], folder) for image in of_model])
            print(one_line(f"{len(of_model)} image(s) to {name}"))
        print(one_line(f"{len(sure) - len(homes)} image(s) of no model's kind; where each image went: {table}"))

    def _infer(self, name: str) -> int:
        """Run the inference of one model; its exit status."""
        places = {"model_path": str(self.models[name]), "output_dir": str(self.results.path / name)}
        images = str(self.results.path / f"{name}.json")
        try:
            run = ConfigWorkflow(
                str(CONFIGS / "inference.json"), workflow_type="infer", dataset_dir=images, **places, **self.settings
            )
            run.initialize()
            run.run()  # without finalize, which would end the command
        except SystemExit as ended:
            return int(ended.code or 0)
        except Exception as error:  # MONAI wraps what a component raises
            ours = find_bundle_error(error)
            if ours is None:
                raise
            self.failures.add(images, f"{name}: {ours}")
            return NOT_DONE
        return 0


def _noted(note: Path) -> list[float] | None:
    """What an earlier run has seen; None where that is not there or damaged."""
    try:
        return json.loads(note.read_bytes())
    except (OSError, ValueError):
        return None


def _entry(item: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """An image of a run as an entry of a data list in a folder."""
    own = {name: value for name, value in item.items() if name != "image_id"}
    return {**own, "image": Cases([], source=folder).name_of(item["image"])}
