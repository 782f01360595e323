"""Write what an inference finds: for each image its files, for the run its tables."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bundle.data.journal import Finding, Journal
from bundle.data.readable import Failures
from bundle.errors import ConfigError, NothingToWrite, one_line
from bundle.handlers.report_saver import ReportSaver
from bundle.handlers.run_saver import RunSaver, mean_seconds
from bundle.io.landmark_codes import LandmarkCode
from bundle.measurements import MeasurementPlan
from bundle.records.prediction import LandmarkPrediction
from bundle.writers.coco_keypoints import write_coco
from bundle.writers.image_files import COCO, image_files, writer_names
from bundle.writers.run_tables import write_landmarks, write_measurements, write_notes, write_poses


class PredictionSaver(RunSaver):
    """Writes the results of a run as they come, and its tables at the end.

    Args:
        output_dir: the folder of the results.
        names: landmark names, in the template's order.
        failures: files that could not be read.
        journal: where each image is noted, so that a killed run goes on.
        writers: which files are written, see :func:`bundle.writers.image_files.writer_names`.
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
        writers: Any = ("json", "markups", "overlay"),
        measurements: MeasurementPlan | None = None,
        landmark_codes: Mapping[str, LandmarkCode] | None = None,
        include_identifiers: bool = False,
        model: str = "",
        report: ReportSaver | None = None,
    ) -> None:
        super().__init__(output_dir, names, failures, journal, report)
        if not isinstance(include_identifiers, bool):
            raise ConfigError(f"include_identifiers is {include_identifiers!r}, expected true or false.")
        self.measurements = measurements
        self.writers = writer_names(writers)
        self.files = image_files(self.writers, landmark_codes, include_identifiers, model)

    def _keep(self, prediction: LandmarkPrediction, pixels: np.ndarray) -> None:
        """Make the files of one image, and say which have nothing to write, each with its reason."""
        if self.measurements is not None:
            prediction = replace(prediction, measurements=self.measurements.measure(prediction))
        contents, skipped = {}, []
        for name, make in self.files.items():
            try:
                contents[name] = make(prediction, pixels)
            except NothingToWrite as reason:
                skipped.append((name, str(reason)))
        self.journal.append(prediction, self.timer.value(), contents, skipped)

    def _write(self, found: Sequence[Finding], failures: Failures) -> None:
        predictions = [one.prediction for one in found]
        write_landmarks(self.output_dir, self.names, predictions)
        write_poses(self.output_dir, predictions)
        if self.measurements is not None:
            write_measurements(self.output_dir, predictions)
        if COCO in self.writers:
            files = (self.journal.cases.name_of(one.path) for one in predictions)
            write_coco(self.output_dir, self.names, zip(predictions, files))
        if "sr" in self.writers:  # only this writer has reasons to write nothing
            self._write_notes([(one.prediction.image_id, *note) for one in found for note in one.skipped])
        if self.report is not None:
            self.report.write(found, failures)
        print(f"{len(found)} image(s) with {len(self.names)} landmarks each: {one_line(str(self.output_dir))}")
        if found:
            same_kind = [one for one in predictions if not one.pose.other_kind]
            confidence = np.mean([one.confidence for one in same_kind or predictions])
            print(f"mean confidence {confidence:.2f}, {mean_seconds(found):.2f} s per image")
        self._say_poses(predictions)

    @staticmethod
    def _say_poses(found: Sequence[LandmarkPrediction]) -> None:
        """Name the images of another kind first, then those of the other side, and those that were laid otherwise."""
        others = [one.image_id for one in found if one.pose.other_kind]
        mirrored = [one.image_id for one in found if one.pose.mirrored and not one.pose.other_kind]
        laid = [one.image_id for one in found if one.pose.words() and not (one.pose.mirrored or one.pose.other_kind)]
        for names, what in (
            (others, "probably of another kind than the template"),
            (mirrored, "mirrored"),
            (laid, "turned, inverted or scaled"),
        ):
            if names:
                more = f" and {len(names) - 5} more" if len(names) > 5 else ""
                print(one_line(f"{len(names)} image(s) {what}: {', '.join(names[:5])}{more}"))

    def _write_notes(self, notes: Sequence[tuple[str, str, str]]) -> None:
        path = write_notes(self.output_dir, notes)
        for _, _, note in notes[:10]:
            print(f"note: {note}", file=sys.stderr)
        if notes:
            print(f"{len(notes)} file(s) not written: {path}", file=sys.stderr)
