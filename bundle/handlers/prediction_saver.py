"""Write what an inference finds: for each image its files, for the run its tables."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bundle.data.journal import Finding, Journal
from bundle.data.readable import Failures
from bundle.errors import ConfigError, NothingToWrite, one_line
from bundle.handlers.run_saver import RunSaver, mean_seconds
from bundle.io.landmark_codes import LandmarkCode
from bundle.measurements import MeasurementPlan
from bundle.records.prediction import LandmarkPrediction
from bundle.records.template import Template
from bundle.writers.image_files import COCO, image_files, writer_names
from bundle.writers.run_tables import write_coco, write_landmarks, write_measurements, write_notes, write_poses


class PredictionSaver(RunSaver):
    """Writes the results of a run as they come, and its tables at the end.

    Args:
        template: the annotated image.
        failures: files that could not be read.
        journal: where each image is noted, so that a killed run goes on.
        writers: which files are written, see :func:`bundle.writers.image_files.writer_names`.
        measurements: what is measured between the landmarks of each image; None for nothing.
        landmark_codes: codes of the landmarks' anatomy by name, for structured reports.
        include_identifiers: whether reports say whose image it is.
        model: what the model is known by, for structured reports.
        **report: see :class:`bundle.handlers.run_saver.RunSaver`.

    Raises:
        ConfigError: when a writer is unknown or named twice, or include_identifiers is not true or false.
    """

    kind = "inference"

    def __init__(
        self,
        template: Template,
        failures: Failures,
        journal: Journal,
        writers: Any = ("json", "markups", "overlay"),
        measurements: MeasurementPlan | None = None,
        landmark_codes: Mapping[str, LandmarkCode] | None = None,
        include_identifiers: bool = False,
        model: str = "",
        **report: Any,
    ) -> None:
        super().__init__(template, failures, journal, **report)
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

    def _write(self, found: Sequence[Finding]) -> None:
        predictions = [one.prediction for one in found]
        write_landmarks(self.output_dir, self.names, predictions)
        write_poses(self.output_dir, predictions)
        if self.measurements is not None:
            write_measurements(self.output_dir, predictions)
        if COCO in self.writers:
            files = (self.journal.cases.name_of(one.path) for one in predictions)
            write_coco(self.output_dir, self.names, zip(predictions, files))
        if "sr" in self.writers:  # only this writer has reasons to write nothing
            notes = [(one.prediction.image_id, *note) for one in found for note in one.skipped]
            path = write_notes(self.output_dir, notes)
            for _, _, note in notes[:10]:
                print(f"note: {note}", file=sys.stderr)
            if notes:
                print(f"{len(notes)} file(s) not written: {path}", file=sys.stderr)
        self._write_page()
        print(f"{len(found)} image(s) with {len(self.names)} landmarks each: {one_line(str(self.output_dir))}")
        if found:
            same_kind = [one for one in predictions if not one.pose.other_kind]
            confidence = np.mean([one.confidence for one in same_kind or predictions])
            print(f"mean confidence {confidence:.2f}, {mean_seconds(found):.2f} s per image")
        _say_poses(predictions)


def _say_poses(found: Sequence[LandmarkPrediction]) -> None:
    """Name the images of another kind first, then those of the other side, and those that were laid otherwise."""
    named: dict[str, list[str]] = {}
    for one in sorted(found, key=lambda one: (not one.pose.other_kind, not one.pose.mirrored)):
        if one.pose.words():
            what = "mirrored" if one.pose.mirrored else "turned, inverted, scaled or stretched"
            what = "probably of another kind than the template" if one.pose.other_kind else what
            named.setdefault(what, []).append(one.image_id)
    for what, names in named.items():
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        print(one_line(f"{len(names)} image(s) {what}: {', '.join(names[:5])}{more}"))
