"""Write what an inference finds: for each image its files, for the run a table."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
from ignite.engine import Engine, Events

from bundle.data.journal import Journal
from bundle.data.readable import Failures
from bundle.handlers.items import decollated_items, time_iterations
from bundle.handlers.report_saver import ReportSaver
from bundle.io.landmark_codes import LandmarkCode
from bundle.measurements import MeasurementPlan
from bundle.ranks import from_first, is_first
from bundle.records.console import NOT_DONE, SOME_FAILED
from bundle.records.errors import ConfigError, NothingToWrite, one_line
from bundle.records.prediction import PREDICTION_COLUMNS, LandmarkPrediction
from bundle.writers.atomic import remove_leftovers
from bundle.writers.coco_keypoints import CocoKeypointsWriter
from bundle.writers.error_table import ErrorTableWriter
from bundle.writers.landmark_table import LandmarkTableWriter
from bundle.writers.measurement_table import MeasurementTableWriter, measurement_cells
from bundle.writers.naming import printable
from bundle.writers.note_table import NoteTableWriter
from bundle.writers.overlay import OverlayWriter
from bundle.writers.result_json import ResultJsonWriter
from bundle.writers.slicer_markups import SlicerMarkupsWriter
from bundle.writers.structured_report import StructuredReportWriter

PredictionWriter = Callable[[LandmarkPrediction, np.ndarray], Any]


@dataclass(frozen=True)
class OutputOptions:
    """What some of the writers need to know beside the folder.

    Attributes:
        landmark_codes: codes of the landmarks' anatomy by name.
        include_identifiers: whether patient and examination are taken over from DICOM images.
        model: what the model is known by.
    """

    landmark_codes: Mapping[str, LandmarkCode] = field(default_factory=dict)
    include_identifiers: bool = False
    model: str = ""


#: What writes a file for each image.
WRITERS: dict[str, Callable[[Path, OutputOptions], PredictionWriter]] = {
    "json": lambda folder, _: _without_pixels(ResultJsonWriter(folder)),
    "markups": lambda folder, _: _without_pixels(SlicerMarkupsWriter(folder)),
    "overlay": lambda folder, _: OverlayWriter(folder),
    "sr": lambda folder, options: _without_pixels(
        StructuredReportWriter(folder, options.landmark_codes, options.include_identifiers, options.model)
    ),
}

#: What writes one file for the whole run.
RUN_WRITERS = {"coco": CocoKeypointsWriter}


def as_prediction(item: Mapping[str, Any], names: Sequence[str]) -> LandmarkPrediction:
    """One decollated item of an engine's batch and output as plain arrays.

    Args:
        item: ``image`` (MetaTensor (1, H, W)), ``image_id``, ``pred`` ((N, 7), columns
            :data:`bundle.records.prediction.PREDICTION_COLUMNS`), ``spacing`` and ``spacing_source``.
        names: N landmark names.
    """
    meta = item["image"].meta
    columns = dict(zip(PREDICTION_COLUMNS, item["pred"].detach().cpu().double().numpy().T))
    spacing = item["spacing"].detach().cpu().double().numpy().reshape(2)
    known = bool(np.isfinite(spacing).all())
    size_x, size_y = meta.get("pixel_size", (1.0, 1.0))
    return LandmarkPrediction(
        image_id=str(item["image_id"]),
        path=Path(meta["filename_or_obj"]),
        names=tuple(names),
        points=np.stack([columns["x"], columns["y"]], axis=1),
        similarity=columns["similarity"],
        back_match_error=columns["back_match_error"],
        spread=columns["spread"],
        confidence=columns["confidence"],
        expected_error=columns["expected_error"],
        width=int(item["image"].shape[-1]),
        height=int(item["image"].shape[-2]),
        spacing=(float(spacing[0]), float(spacing[1])) if known else None,
        spacing_source=str(item["spacing_source"]) if known else None,
        pixel_to_lps=np.asarray(meta["pixel_to_lps"], dtype=np.float64).reshape(3, 3),
        aspect=float(size_y) / float(size_x),
    )


class PredictionSaver:
    """Writes the results of a run as they come, and its tables at the end.

    Args:
        output_dir: the folder of the results.
        names: landmark names, in the template's order.
        failures: files that could not be read.
        journal: where each image is noted, so that a killed run goes on.
        writers: which files are written: any of :data:`WRITERS`, for each image, and of :data:`RUN_WRITERS`, for the
            run.
        measurements: what is measured between the landmarks of each image; None for nothing.
        landmark_codes: codes of the landmarks' anatomy by name, for structured reports.
        include_identifiers: whether reports say whose image it is.
        model: what the model is known by, for structured reports.
        report: what writes the report that one looks at; None for none.

    Raises:
        ConfigError: when a writer is unknown or named twice, or include_identifiers is not true or false.
    """

    def __init__(
        self,
        output_dir: str | Path,
        names: Sequence[str],
        failures: Failures,
        journal: Journal,
        writers: Sequence[str] = ("json", "markups", "overlay"),
        measurements: MeasurementPlan | None = None,
        landmark_codes: Mapping[str, LandmarkCode] | None = None,
        include_identifiers: bool = False,
        model: str = "",
        report: ReportSaver | None = None,
    ) -> None:
        known = (*WRITERS, *RUN_WRITERS)
        if isinstance(writers, str) or any(name not in known for name in writers) or len(set(writers)) < len(writers):
            raise ConfigError(f"writers is {writers!r}, expected a list of different names from {', '.join(known)}.")
        if not isinstance(include_identifiers, bool):
            raise ConfigError(f"include_identifiers is {include_identifiers!r}, expected true or false.")
        options = OutputOptions(landmark_codes or {}, include_identifiers, model)
        self.output_dir = Path(output_dir)
        self.names = tuple(names)
        self.failures = failures
        self.journal = journal
        self.measurements = measurements
        self.writers = {name: WRITERS[name](self.output_dir, options) for name in writers if name in WRITERS}
        self.run_writers = [name for name in writers if name in RUN_WRITERS]
        self.report = report

    def attach(self, engine: Engine) -> None:
        """Attach to an engine, before other handlers that take time."""
        self._timer = time_iterations(engine)
        engine.add_event_handler(Events.STARTED, open_results, self.journal)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._save)
        engine.add_event_handler(Events.EXCEPTION_RAISED, lambda _engine, error: self.journal.release(error))

    def _save(self, engine: Engine) -> None:
        for item in decollated_items(engine):
            prediction = as_prediction(item, self.names)
            if self.measurements is not None:
                prediction = replace(prediction, measurements=self.measurements.measure(prediction))
            row: dict[str, Any] = {
                "points": prediction.points.tolist(),
                "confidence": float(np.mean(prediction.confidence)),
                "seconds": self._timer.value(),
                "file": printable(self.journal.cases.name_of(prediction.path)),
                "size": [prediction.width, prediction.height],
                "measurements": [measurement_cells(value) for value in prediction.measurements],
                "notes": self._write(prediction, item["image"].detach().cpu().numpy()[0]),
            }
            if self.report is not None:
                row["report"] = self.report.note(item)
            self.journal.append(prediction.image_id, row)

    def _write(self, prediction: LandmarkPrediction, pixels: np.ndarray) -> list[tuple[str, str]]:
        """Write the files of one image; the writers that have nothing to write, each with its reason."""
        notes = []
        for name, write in self.writers.items():
            try:
                write(prediction, pixels)
            except NothingToWrite as reason:
                notes.append((name, str(reason)))
        return notes

    def finish(self) -> None:
        """Write the tables, say what was done, and end the program where files could not be used.

        Every rank has to come here; rank 0 writes and speaks.

        Raises:
            SystemExit: see :func:`stop_for_failures`.
        """
        rows, failures = self.journal.merge(self.failures)
        if is_first():
            table = LandmarkTableWriter(self.output_dir)
            table.write((row["image_id"], np.array(row["points"])) for row in rows)
            self._write_measurements(rows)
            self._write_run_files(rows)
            write_error_table(self.output_dir, failures)
            self._write_notes(rows)
            if self.report is not None:
                self.report.write(rows, failures)
            print(f"{len(table)} image(s) with {len(self.names)} landmarks each: {one_line(str(self.output_dir))}")
            if rows:
                confidence = sum(row["confidence"] for row in rows) / len(rows)
                print(f"mean confidence {confidence:.2f}, {mean_seconds(rows):.2f} s an image")
            self.journal.remove()
        stop_for_failures(failures, len(rows), self.output_dir)

    def _write_measurements(self, rows: Sequence[Mapping[str, Any]]) -> None:
        if self.measurements is None:
            return
        table = MeasurementTableWriter(self.output_dir)
        for row in rows:
            table.add_rows(row["image_id"], row["measurements"])
        table.write()

    def _write_run_files(self, rows: Sequence[Mapping[str, Any]]) -> None:
        for name in self.run_writers:
            writer = RUN_WRITERS[name](self.output_dir, self.names)
            for row in rows:
                points = np.array(row["points"], dtype=np.float64)
                score = row["confidence"] if np.isfinite(row["confidence"]) else None
                writer.add(row["image_id"], row["file"], tuple(row["size"]), points, score)
            writer.write()

    def _write_notes(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Say which files were not written for a reason that is no failure; only some writers have such reasons."""
        if "sr" not in self.writers:
            return
        table = NoteTableWriter(self.output_dir)
        for row in rows:
            for writer, note in row["notes"]:
                table.add(row["image_id"], writer, note)
                if len(table) <= 10:
                    print(f"note: {note}", file=sys.stderr)
        table.write()
        if len(table):
            print(f"{len(table)} file(s) not written: {table.path}", file=sys.stderr)


def mean_seconds(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """Mean seconds an image of the rows of a journal; None where there is none."""
    return sum(row["seconds"] for row in rows) / len(rows) if rows else None


def write_error_table(output_dir: Path, failures: Failures) -> Path:
    """Write ``errors.csv``; one without failures holds the header alone, so that no old one lingers."""
    table = ErrorTableWriter(output_dir)
    for file, reason in failures.rows:
        table.add(file, reason)
    return table.write()


def open_results(journal: Journal) -> None:
    """Open the journal of a run, after removing what a killed run left half written in the folder of the results."""
    journal.claim()
    if is_first():
        remove_leftovers(journal.folder)
    journal.open()


def stop_for_failures(failures: Failures, done: int, output_dir: Path) -> None:
    """End the program where there are files that could not be used; return where there are none.

    Rank 0 says how many. The others wait until it has, for a launcher ends all ranks when the first one fails.

    Args:
        failures: these files.
        done: how many images were done; that of rank 0 counts.
        output_dir: where ``errors.csv`` is.

    Raises:
        SystemExit: with status 1 where other images were done, with 2 where none was.
    """
    if len(failures) and is_first():
        table = one_line(str(output_dir / "errors.csv"))
        print(f"{len(failures)} file(s) could not be used: {table}", file=sys.stderr, flush=True)
    done = from_first(done)
    idist.barrier()
    if len(failures):
        raise SystemExit(SOME_FAILED if done else NOT_DONE)


def _without_pixels(writer: Callable[[LandmarkPrediction], Any]) -> PredictionWriter:
    return lambda prediction, _pixels: writer(prediction)
