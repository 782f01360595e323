"""Write what an evaluation measures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bundle.data.cases import Cases
from bundle.data.journal import Finding, Journal
from bundle.data.readable import Failures
from bundle.errors import one_line
from bundle.handlers.report_saver import ReportSaver
from bundle.handlers.run_saver import RunSaver, mean_seconds
from bundle.metrics.bootstrap import RESAMPLES
from bundle.metrics.detection_rate import positive_radii
from bundle.metrics.error_summary import FAILURE_MM, summarise_run
from bundle.metrics.radial_error import inside_truths, landmark_errors
from bundle.records.prediction import LandmarkPrediction
from bundle.writers.json_file import json_values
from bundle.writers.metrics_report import format_summary, write_report


class EvaluationSaver(RunSaver):
    """Notes the radial errors of a run and writes ``metrics.json`` and ``metrics.csv`` at its end.

    Args:
        output_dir: the folder of the results.
        names: landmark names, in the template's order.
        cases: the images of the run, and those left out.
        failures: files that could not be read.
        journal: where the errors of each image are noted, so that a killed run goes on.
        radii: radii of the successful detection rate, in mm.
        failure_mm: error in mm beyond which a landmark counts as a failure.
        resamples: draws of the bootstrap intervals.
        seed: seed of these draws.
        report: what writes the report that one looks at; None for none.
    """

    def __init__(
        self,
        output_dir: str | Path,
        names: Sequence[str],
        cases: Cases,
        failures: Failures,
        journal: Journal,
        radii: Sequence[float],
        failure_mm: float = FAILURE_MM,
        resamples: int = RESAMPLES,
        seed: int = 0,
        report: ReportSaver | None = None,
    ) -> None:
        super().__init__(output_dir, names, failures, journal, report)
        self.cases = cases
        self.radii = positive_radii(radii)
        self.failure_mm = failure_mm
        self.resamples = resamples
        self.seed = seed

    def earlier(self) -> np.ndarray:
        """Errors in mm of the images that an earlier run has measured, (M, N); rank 0 has them, the others none."""
        found = [one.prediction for one in self.journal.earlier()]
        return landmark_errors(found, self._truths(found)[0], self.names).mm

    def _truths(self, found: Sequence[LandmarkPrediction]) -> tuple[np.ndarray, list[str]]:
        labels = {item["image_id"]: item["label"] for item in self.cases.items}
        return inside_truths(found, [labels[one.image_id] for one in found], self.names)

    def _write(self, found: Sequence[Finding], failures: Failures) -> None:
        predictions = [one.prediction for one in found]
        truths, outside = self._truths(predictions)
        errors = landmark_errors(predictions, truths, self.names)
        measured = summarise_run(
            errors, self.radii, failure_mm=self.failure_mm, resamples=self.resamples, seed=self.seed
        )
        report = json_values(
            {
                **measured,
                "seconds_per_image": mean_seconds(found),
                "images_without_truth": self.cases.without_truth,
                "truth_without_image": self.cases.without_image,
                "truth_outside_image": outside,
                "failed_images": [self.cases.name_of(file) for file, _ in failures.rows],
                "template_left_out": self.cases.template_copies,
            }
        )
        write_report(self.output_dir, errors, report)
        if self.report is not None:
            self.report.write(found, failures, report, errors, truths)
        print(format_summary(report))
        print(f"written to {one_line(str(self.output_dir))}")
