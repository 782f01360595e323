"""Write what an inference finds: for each image its files, for the run a table."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bundle.data.journal import Journal, JournalRows
from bundle.data.readable import Failures
from bundle.errors import ConfigError, NothingToWrite, one_line
from bundle.handlers.report_saver import ReportSaver
from bundle.handlers.run_saver import RunSaver, mean_seconds
from bundle.io.landmark_codes import LandmarkCode
from bundle.measurements import MeasurementPlan
from bundle.records.pose import Pose
from bundle.records.prediction import LandmarkPrediction
from bundle.writers.coco_keypoints import CocoKeypointsWriter
from bundle.writers.naming import printable
from bundle.writers.overlay import OverlayWriter
from bundle.writers.result_json import ResultJsonWriter
from bundle.writers.run_tables import measurement_cells, write_landmarks, write_measurements, write_notes
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


class PredictionSaver(RunSaver):
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
        super().__init__(output_dir, names, failures, journal, report)
        known = (*WRITERS, *RUN_WRITERS)
        if isinstance(writers, str) or any(name not in known for name in writers) or len(set(writers)) < len(writers):
            raise ConfigError(f"writers is {writers!r}, expected a list of different names from {', '.join(known)}.")
        if not isinstance(include_identifiers, bool):
            raise ConfigError(f"include_identifiers is {include_identifiers!r}, expected true or false.")
        options = OutputOptions(landmark_codes or {}, include_identifiers, model)
        self.measurements = measurements
        self.writers = {name: WRITERS[name](self.output_dir, options) for name in writers if name in WRITERS}
        self.run_writers = [name for name in writers if name in RUN_WRITERS]

    def _row(self, prediction: LandmarkPrediction, item: Mapping[str, Any]) -> dict[str, Any]:
        """Write the files of one image, and say which have nothing to write, each with its reason."""
        if self.measurements is not None:
            prediction = replace(prediction, measurements=self.measurements.measure(prediction))
        pixels, notes = item["image"].detach().cpu().numpy()[0], []
        for name, write in self.writers.items():
            try:
                write(prediction, pixels)
            except NothingToWrite as reason:
                notes.append((name, str(reason)))
        return {
            "points": prediction.points.tolist(),
            "confidence": float(np.mean(prediction.confidence)),
            "file": printable(self.journal.cases.name_of(prediction.path)),
            "size": [prediction.width, prediction.height],
            "measurements": [measurement_cells(value) for value in prediction.measurements],
            "notes": notes,
            "pose": asdict(prediction.pose),
        }

    def _write(self, rows: JournalRows, failures: Failures) -> None:
        write_landmarks(
            self.output_dir, len(self.names), ((row["image_id"], np.array(row["points"], dtype=float)) for row in rows)
        )
        if self.measurements is not None:
            cells = ((row["image_id"], *value) for row in rows for value in row["measurements"])
            write_measurements(self.output_dir, cells)
        for name in self.run_writers:
            writer = RUN_WRITERS[name](self.output_dir, self.names)
            for row in rows:
                points = np.array(row["points"], dtype=np.float64)
                score = row["confidence"] if np.isfinite(row["confidence"]) else None
                writer.add(row["image_id"], row["file"], tuple(row["size"]), points, score)
            writer.write()
        if "sr" in self.writers:  # only this writer has reasons to write nothing
            self._write_notes([(row["image_id"], *note) for row in rows for note in row["notes"]])
        if self.report is not None:
            self.report.write(rows, failures)
        print(f"{len(rows)} image(s) with {len(self.names)} landmarks each: {one_line(str(self.output_dir))}")
        if rows:
            confidence = sum(row["confidence"] for row in rows) / len(rows)
            print(f"mean confidence {confidence:.2f}, {mean_seconds(rows):.2f} s per image")
        self._say_poses(rows)

    @staticmethod
    def _say_poses(rows: JournalRows) -> None:
        """Name the images of another kind first, then those of the other side, and count those that were turned."""
        poses = {row["image_id"]: Pose(**row["pose"]) for row in rows}
        others = [name for name, pose in poses.items() if pose.other_kind]
        mirrored = [name for name, pose in poses.items() if pose.mirrored and not pose.other_kind]
        for names, what in ((others, "probably of another kind than the template"), (mirrored, "mirrored")):
            if names:
                more = f" and {len(names) - 5} more" if len(names) > 5 else ""
                print(one_line(f"{len(names)} image(s) {what}: {', '.join(names[:5])}{more}"))

    def _write_notes(self, notes: Sequence[tuple[str, str, str]]) -> None:
        path = write_notes(self.output_dir, notes)
        for _, _, note in notes[:10]:
            print(f"note: {note}", file=sys.stderr)
        if notes:
            print(f"{len(notes)} file(s) not written: {path}", file=sys.stderr)


def _without_pixels(writer: Callable[[LandmarkPrediction], Any]) -> PredictionWriter:
    return lambda prediction, _pixels: writer(prediction)
