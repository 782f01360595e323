"""Write what an evaluation measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bundle.data.cases import Cases
from bundle.data.journal import Journal, JournalRows
from bundle.data.readable import Failures
from bundle.errors import one_line
from bundle.handlers.report_saver import ReportSaver
from bundle.handlers.run_saver import RunSaver, mean_seconds
from bundle.metrics.bootstrap import RESAMPLES
from bundle.metrics.error_summary import FAILURE_MM, LandmarkErrors, summarise_run
from bundle.metrics.radial_error import radial_error
from bundle.records.landmarks import outside_image
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
        self.radii = tuple(float(radius) for radius in radii)
        self.failure_mm = failure_mm
        self.resamples = resamples
        self.seed = seed

    def _row(self, prediction: LandmarkPrediction, item: Mapping[str, Any]) -> dict[str, Any]:
        pred, label = item["pred"][None, :, :2], item["label"][None].to(item["pred"].device)
        spacing = item["spacing"][None].to(pred)
        outside = outside_image(label[0].cpu().numpy(), prediction.width, prediction.height)
        return {
            "px": radial_error(pred, label)[0].tolist(),
            "mm": radial_error(pred, label, spacing)[0].tolist(),
            "outside": np.flatnonzero(outside).tolist(),
        }

    def _write(self, rows: JournalRows, failures: Failures) -> None:
        shape = (len(rows), len(self.names))
        errors = LandmarkErrors(
            tuple(row["image_id"] for row in rows),
            self.names,
            *(np.array([row[key] for row in rows], dtype=np.float64).reshape(shape) for key in ("px", "mm")),
        )
        measured = summarise_run(
            errors, self.radii, failure_mm=self.failure_mm, resamples=self.resamples, seed=self.seed
        )
        report = json_values(
            {
                **measured,
                "seconds_per_image": mean_seconds(rows),
                "images_without_truth": self.cases.without_truth,
                "truth_without_image": self.cases.without_image,
                "truth_outside_image": [
                    f"{self.names[landmark]} of {row['image_id']}" for row in rows for landmark in row["outside"]
                ],
                "failed_images": [self.cases.name_of(file) for file, _ in failures.rows],
                "template_left_out": self.cases.template_copies,
            }
        )
        write_report(self.output_dir, errors, report)
        if self.report is not None:
            self.report.write(rows, failures, report)
        print(format_summary(report))
        print(f"written to {one_line(str(self.output_dir))}")
