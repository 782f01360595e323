"""What an inference and an evaluation do alike: note each image in the journal, and write the results at the end."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from ignite.handlers import Timer

from bundle.data.journal import Finding, Journal
from bundle.data.readable import Failures
from bundle.errors import ImageError, one_line
from bundle.handlers.report_saver import ReportSaver
from bundle.ranks import from_first, is_first
from bundle.records.console import NOT_DONE, SOME_FAILED
from bundle.records.pose import Pose
from bundle.records.prediction import MISSING, PREDICTION_COLUMNS, LandmarkPrediction
from bundle.writers.run_tables import write_errors


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
        output_dir: the folder of the results.
        names: landmark names, in the template's order.
        failures: files that could not be read.
        journal: where each image is noted.
        report: what writes the report that one looks at; None for none.
    """

    def __init__(
        self,
        output_dir: str | Path,
        names: Sequence[str],
        failures: Failures,
        journal: Journal,
        report: ReportSaver | None = None,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.names = tuple(names)
        self.failures = failures
        self.journal = journal
        self.report = report
        self.timer = Timer()

    def attach(self, engine: Engine) -> None:
        """Attach to an engine, before other handlers that take time.

        An image takes the seconds from asking for it to having its result, without what writes files.
        """
        if torch.cuda.is_available():  # what was launched has not yet happened
            engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: torch.cuda.synchronize())
        self.timer.attach(engine, start=Events.GET_BATCH_STARTED, pause=Events.ITERATION_COMPLETED)
        engine.add_event_handler(Events.STARTED, self.journal.open)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._note)
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
            if self.report is not None:
                self.report.pictures.add(prediction.image_id, pixels)
            self._keep(prediction, pixels)

    def _keep(self, prediction: LandmarkPrediction, pixels: np.ndarray) -> None:
        """Note an image with its pixels, (H, W), 0 to 1, in the journal, and write its files."""
        self.journal.append(prediction, self.timer.value())

    def finish(self) -> None:
        """Write the results, say what was done, and end the program where files could not be used.

        Every rank has to come here; rank 0 writes and speaks. The others wait until it has, for a launcher ends all
        ranks when the first one fails.

        Raises:
            SystemExit: with status 1 where some files could not be used, with 2 where no other was.
        """
        found, failures = self.journal.merge(self.failures)
        if is_first():
            write_errors(self.output_dir, failures.rows)
            self._write(found, failures)
            self.journal.finish()
            if len(failures):
                table = one_line(str(self.output_dir / "errors.csv"))
                print(f"{len(failures)} file(s) could not be used: {table}", file=sys.stderr, flush=True)
        done = from_first(len(found))
        idist.barrier()
        if len(failures):
            raise SystemExit(SOME_FAILED if done else NOT_DONE)

    @abstractmethod
    def _write(self, found: Sequence[Finding], failures: Failures) -> None:
        """Write the results of all ranks and say what was done."""


def mean_seconds(found: Sequence[Finding]) -> float:
    """Mean seconds per image; NaN where there is none."""
    return sum(one.seconds for one in found) / len(found) if found else float("nan")
