"""Write what an inference finds: for each image its files, for the run a table."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events

from bundle.data.journal import Journal
from bundle.data.readable import Failures
from bundle.errors import ConfigError
from bundle.handlers.items import decollated_items
from bundle.handlers.report_saver import ReportSaver
from bundle.handlers.stopwatch import Stopwatch
from bundle.prediction import PREDICTION_COLUMNS, LandmarkPrediction
from bundle.ranks import barrier, is_first
from bundle.writers.error_table import ErrorTableWriter
from bundle.writers.landmark_table import LandmarkTableWriter
from bundle.writers.overlay import OverlayWriter
from bundle.writers.result_json import ResultJsonWriter
from bundle.writers.slicer_markups import SlicerMarkupsWriter

PredictionWriter = Callable[[LandmarkPrediction, np.ndarray], Any]

WRITERS: dict[str, Callable[[Path], PredictionWriter]] = {
    "json": lambda folder: _without_pixels(ResultJsonWriter(folder)),
    "markups": lambda folder: _without_pixels(SlicerMarkupsWriter(folder)),
    "overlay": OverlayWriter,
}


def as_prediction(item: Mapping[str, Any], names: Sequence[str]) -> LandmarkPrediction:
    """One decollated item of an engine's batch and output as plain arrays.

    Args:
        item: ``image`` (MetaTensor (1, H, W)), ``image_id``, ``pred`` ((N, 7), columns
            :data:`bundle.prediction.PREDICTION_COLUMNS`), ``spacing`` and ``spacing_source``.
        names: N landmark names.
    """
    meta = item["image"].meta
    columns = dict(zip(PREDICTION_COLUMNS, item["pred"].detach().cpu().double().numpy().T))
    spacing = item["spacing"].detach().cpu().double().numpy().reshape(2)
    known = bool(np.isfinite(spacing).all())
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
    )


class PredictionSaver:
    """Writes the results of a run as they come, and its tables at the end.

    Args:
        output_dir: the folder of the results.
        names: landmark names, in the template's order.
        failures: files that could not be read.
        stopwatch: what measured the seconds an image.
        journal: where each image is noted, so that a killed run goes on.
        writers: which files each image gets: any of ``"json"``, ``"markups"``, ``"overlay"``.
        report: what writes the report that one looks at; None for none.

    Raises:
        ConfigError: when a writer is unknown.
    """

    def __init__(
        self,
        output_dir: str | Path,
        names: Sequence[str],
        failures: Failures,
        stopwatch: Stopwatch,
        journal: Journal,
        writers: Sequence[str] = tuple(WRITERS),
        report: ReportSaver | None = None,
    ) -> None:
        unknown = [name for name in writers if name not in WRITERS]
        if unknown:
            raise ConfigError(f"writers is {list(writers)!r}, expected names from {', '.join(WRITERS)}.")
        self.output_dir = Path(output_dir)
        self.names = tuple(names)
        self.failures = failures
        self.stopwatch = stopwatch
        self.journal = journal
        self.writers = [WRITERS[name](self.output_dir) for name in writers]
        self.report = report

    def attach(self, engine: Engine) -> None:
        """Attach to an engine."""
        engine.add_event_handler(Events.STARTED, self.journal.open)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._save)

    def _save(self, engine: Engine) -> None:
        for item in decollated_items(engine):
            prediction = as_prediction(item, self.names)
            pixels = item["image"].detach().cpu().numpy()[0]
            for write in self.writers:
                write(prediction, pixels)
            row: dict[str, Any] = {
                "points": prediction.points.tolist(),
                "confidence": float(np.mean(prediction.confidence)),
                "seconds": self.stopwatch.last,
            }
            if self.report is not None:
                row["report"] = self.report.note(item)
            self.journal.append(prediction.image_id, row)

    def finish(self) -> None:
        """Write the tables, say what was done, and end the program with status 1 where files could not be read.

        Every rank has to come here; rank 0 writes and speaks.

        Raises:
            SystemExit: with status 1, when there are failures.
        """
        rows, failures = self.journal.merge(self.failures)
        if is_first():
            table = LandmarkTableWriter(self.output_dir)
            for row in rows:
                table.add_points(row["image_id"], np.array(row["points"]))
            table.write()
            write_error_table(self.output_dir, failures)
            if self.report is not None:
                self.report.write(rows, failures)
            self.journal.remove()
            print(f"{len(table)} image(s) with {len(self.names)} landmarks each: {self.output_dir}")
            if rows:
                confidence = np.mean([row["confidence"] for row in rows])
                print(f"mean confidence {confidence:.2f}, {mean_seconds(rows):.2f} s an image")
        stop_for_failures(failures, self.output_dir)


def mean_seconds(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """Mean seconds an image of the rows of a journal; None where there is none."""
    return sum(row["seconds"] for row in rows) / len(rows) if rows else None


def write_error_table(output_dir: Path, failures: Failures) -> Path:
    """Write ``errors.csv``; one without failures holds the header alone, so that no old one lingers."""
    table = ErrorTableWriter(output_dir)
    for file, reason in failures.rows:
        table.add(file, reason)
    return table.write()


def stop_for_failures(failures: Failures, output_dir: Path) -> None:
    """Name the files that could not be read and end the program with status 1; return where there are none.

    Rank 0 names them. The others wait until it has, for a launcher ends all ranks when the first one fails.
    """
    if len(failures) and is_first():
        for _, reason in failures.rows[:10]:
            print(f"error: {reason}", file=sys.stderr)
        print(f"{len(failures)} file(s) could not be used: {output_dir / 'errors.csv'}", file=sys.stderr, flush=True)
    barrier()
    if len(failures):
        raise SystemExit(1)


def _without_pixels(writer: Callable[[LandmarkPrediction], Any]) -> PredictionWriter:
    return lambda prediction, _pixels: writer(prediction)
