"""What an inference and an evaluation do alike: note each image in the journal, and write the results at the end."""

from __future__ import annotations

import platform
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from ignite.handlers import Timer

from bundle import __version__
from bundle.data.journal import Finding, Journal
from bundle.data.readable import Failures
from bundle.errors import ImageError, one_line
from bundle.handlers.experiment_logs import ExperimentLogs
from bundle.ranks import from_first, is_first
from bundle.records.console import NOT_DONE, SOME_FAILED, progress
from bundle.records.prediction import MISSING, PREDICTION_COLUMNS, LandmarkPrediction, Pose
from bundle.records.template import Template
from bundle.report import ReportRun, draw_figures, small_jpeg, write_page
from bundle.writers.files import atomic_file, output_path
from bundle.writers.run_tables import write_errors

#: Programs whose version says most about where numbers come from.
_PROGRAMS = ("torch", "monai", "numpy", "scipy", "pydicom", "timm")


def as_prediction(item: Mapping[str, Any], names: Sequence[str]) -> LandmarkPrediction:
    """One decollated item of an engine's batch and output as plain arrays.

    Args:
        item: ``image`` (MetaTensor (1, H, W)), ``image_id``, ``pred`` ((N, 7), columns
            :data:`bundle.records.prediction.PREDICTION_COLUMNS`), ``spacing`` and ``spacing_source``.
        names: N landmark names.

    Raises:
        ImageError: when the inferer refused the image.
    """
    meta, found = item["image"].meta, getattr(item["pred"], "meta", {})
    if found.get("refused"):
        raise ImageError(f"{meta['filename_or_obj']} {found['refused']}")
    columns = dict(zip(PREDICTION_COLUMNS, item["pred"].detach().cpu().double().numpy().T))
    points = np.stack([columns.pop("x"), columns.pop("y")], axis=1)
    missing = found.get("missing")
    if missing is not None:
        missing = torch.as_tensor(missing).cpu().double().numpy()
        points[missing >= MISSING] = np.nan
    spacing = item["spacing"].detach().cpu().double().numpy().reshape(2)
    known = bool(np.isfinite(spacing).all())
    size_x, size_y = meta.get("pixel_size", (1.0, 1.0))
    return LandmarkPrediction(
        image_id=str(item["image_id"]),
        path=Path(meta["filename_or_obj"]),
        names=tuple(names),
        points=points,
        missing=missing,
        **columns,
        width=int(item["image"].shape[-1]),
        height=int(item["image"].shape[-2]),
        spacing=(float(spacing[0]), float(spacing[1])) if known else None,
        spacing_source=str(item["spacing_source"]) if known else None,
        pixel_to_lps=np.asarray(meta["pixel_to_lps"], dtype=np.float64).reshape(3, 3),
        aspect=float(size_y) / float(size_x),
        pose=Pose(**found.get("pose", {})),
    )


class RunSaver(ABC):
    """Notes each image of a run, so that a killed run goes on, and writes the results when all are done.

    Args:
        template: the annotated image.
        failures: files that could not be read.
        journal: where each image is noted.
        report: whether ``report.html`` is written.
        settings: what the run was started with, by name, for the report.
        tracker: where the report and its figures are logged, which ends the logs; None for nowhere.

    Attributes:
        kind: what the report is called.
        radii: radii in mm that the report marks.
    """

    kind: str
    radii: Sequence[float] = ()

    def __init__(
        self,
        template: Template,
        failures: Failures,
        journal: Journal,
        report: bool = False,
        settings: Mapping[str, Any] | None = None,
        tracker: ExperimentLogs | None = None,
    ) -> None:
        self.template = template
        self.names = template.landmarks.names
        self.failures = failures
        self.journal = journal
        self.output_dir = journal.results.path
        self.report = report
        self.settings = settings or {}
        self.tracker = tracker
        self.timer = Timer()
        self.found: list[Finding] = []

    def attach(self, engine: Engine) -> None:
        """Attach to an engine, before other handlers that take time.

        An image takes the seconds from asking for it to having its result, without what writes files.
        """
        if torch.cuda.is_available():  # what was launched has not yet happened
            engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: torch.cuda.synchronize())
        self.timer.attach(engine, start=Events.GET_BATCH_STARTED, pause=Events.ITERATION_COMPLETED)
        engine.add_event_handler(Events.STARTED, self.journal.open)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._note)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._merge)
        engine.add_event_handler(Events.EXCEPTION_RAISED, lambda _engine, error: self.journal.release(error))

    def _note(self, engine: Engine) -> None:
        batch: Any = engine.state.batch
        output: Any = engine.state.output
        for inputs, outputs in zip(batch, output):
            item = {**inputs, **outputs}
            try:
                prediction = as_prediction(item, self.names)
            except ImageError as error:
                self.failures.add(str(item["image"].meta["filename_or_obj"]), str(error))
                continue
            pixels = item["image"].detach().cpu().numpy()[0]
            if self.report:
                with atomic_file(self._picture(prediction.image_id), binary=True) as file:
                    file.write(small_jpeg(pixels))
            self._keep(prediction, pixels)

    def _keep(self, prediction: LandmarkPrediction, pixels: np.ndarray) -> None:
        """Note an image with its pixels, (H, W), 0 to 1, in the journal, and write its files."""
        self.journal.append(prediction, self.timer.value())

    def _merge(self, engine: Engine) -> None:
        """Put together what all ranks have found; rank 0 has it then."""
        self.found, self.failures = self.journal.merge(self.failures)

    def finish(self) -> None:
        """Write the results, say what was done, and end the program where files could not be used.

        Every rank has to come here; rank 0 writes and speaks. The others wait until it has, for a launcher ends all
        ranks when the first one fails.

        Raises:
            SystemExit: with status 1 where some files could not be used, with 2 where no other was.
        """
        failures = self.failures
        try:
            if is_first():
                write_errors(self.output_dir, failures.rows)
                self._write(self.found)
                self.journal.finish()
                if len(failures):
                    table = one_line(str(self.output_dir / "errors.csv"))
                    print(f"{len(failures)} file(s) could not be used: {table}", file=sys.stderr, flush=True)
        finally:
            if self.tracker is not None:
                self.tracker.close()
        done = from_first(len(self.found))
        idist.barrier()
        if len(failures):
            raise SystemExit(SOME_FAILED if done else NOT_DONE)

    @abstractmethod
    def _write(self, found: Sequence[Finding]) -> None:
        """Write the results of all ranks and say what was done."""

    def _picture(self, image_id: str) -> Path:
        """Where the small picture of an image waits for the report, also while a run is killed and continued."""
        return output_path(self.journal.folder, image_id, ".jpg")

    def _write_page(self, **evaluated: Any) -> None:
        """Write the report that one looks at; ``evaluated`` is what :class:`bundle.report.ReportRun` has of errors."""
        if not self.report:
            return
        cases = self.journal.cases
        run = ReportRun(
            kind=self.kind,
            cases=[one.prediction for one in self.found],
            template=self.template,
            seconds=[one.seconds for one in self.found],
            settings=self.settings,
            versions=_versions(),
            created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            failures=[(Path(file).name, reason) for file, reason in self.failures.rows],
            remarks=(
                *((f"Left out of the folder: {reason}", names) for reason, names in cases.left_out.items()),
                ("Left out, for it is the template itself", cases.template_copies),
                ("Images without a truth", cases.without_truth),
                ("Truth without an image", cases.without_image),
                (
                    "True landmarks outside their image, left out",
                    evaluated.get("metrics", {}).get("truth_outside_image", ()),
                ),
            ),
            **evaluated,
        )
        figures, path = draw_figures(run, self.radii), self.output_dir / "report.html"
        write_page(path, run, figures, self._read_picture)
        if self.tracker is not None:
            self.tracker.log_report(path, figures)

    def _read_picture(self, image_id: str) -> bytes | None:
        path = self._picture(image_id)
        return path.read_bytes() if path.is_file() else None


def mean_seconds(found: Sequence[Finding]) -> float:
    """Mean seconds per image; NaN where there is none."""
    return sum(one.seconds for one in found) / len(found) if found else float("nan")


def _versions() -> dict[str, str]:
    installed = {name: metadata.version(name) for name in _PROGRAMS}
    system = f"{platform.system()} {platform.machine()}"
    return {"one-shot-landmarks": __version__, "python": platform.python_version(), **installed, "platform": system}


class ImageProgress:
    """Shows how many of the run's files are done, and the time that remains.

    Rank 0 shows it for all ranks together: with each image of its own it looks at their journals. Files that could not
    be read count as done; those of the other ranks only when all is done.

    Args:
        journal: the images of the run, and what is done of them.
        failures: the files that could not be read.
        label: what the bar is called.
    """

    def __init__(self, journal: Journal, failures: Failures, label: str) -> None:
        self.journal = journal
        self.failures = failures
        self.label = label

    def attach(self, engine: Engine) -> None:
        """Attach to an engine, after what opens the journal."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._open)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._advance)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._close)

    def _open(self) -> None:
        total, done = len(self.journal.cases.items), self.journal.done
        self._bar = progress(total=total, initial=done, desc=self.label, unit="image", disable=not is_first())

    def _advance(self, engine: Engine) -> None:
        if is_first():
            new = engine.state.iteration if idist.get_world_size() == 1 else self.journal.count_new()
            self._bar.update(self.journal.done + new + len(self.failures) - self._bar.n)

    def _close(self) -> None:
        idist.barrier()  # the others' images belong to the bar
        self._bar.update(len(self.journal.cases.items) - self._bar.n)
        self._bar.close()
