"""Write what an evaluation measures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ignite.engine import Engine

from bundle.data.journal import Finding, Journal
from bundle.data.readable import Failures
from bundle.errors import one_line
from bundle.handlers.run_saver import RunSaver, mean_seconds
from bundle.metrics.bootstrap import RESAMPLES
from bundle.metrics.error_summary import CEPHALOMETRIC_RADII, FAILURE_MM, positive_radii, summarise_run
from bundle.metrics.landmark_metrics import inside_truths, landmark_errors
from bundle.ranks import is_first
from bundle.records.template import Template
from bundle.writers.files import json_values
from bundle.writers.metrics_report import format_summary, write_report


class EvaluationSaver(RunSaver):
    """Measures the radial errors of a run, and writes ``metrics.json`` and ``metrics.csv`` at its end.

    The means of all images, of those that an earlier start measured as well, are the metrics of the engine: ``mre_mm``
    and for each radius one such as ``sdr_2.0mm``. Of several ranks, rank 0 has them.

    Args:
        template: the annotated image.
        failures: files that could not be read.
        journal: where each image is noted, so that a killed run goes on.
        radii: radii of the successful detection rate, in mm.
        failure_mm: error in mm beyond which a landmark counts as a failure.
        resamples: draws of the bootstrap intervals.
        seed: seed of these draws.
        **report: see :class:`bundle.handlers.run_saver.RunSaver`.
    """

    kind = "evaluation"

    def __init__(
        self,
        template: Template,
        failures: Failures,
        journal: Journal,
        radii: Sequence[float] = CEPHALOMETRIC_RADII,
        failure_mm: float = FAILURE_MM,
        resamples: int = RESAMPLES,
        seed: int = 0,
        **report: Any,
    ) -> None:
        super().__init__(template, failures, journal, **report)
        self.radii = positive_radii(radii)
        self.draws: dict[str, Any] = {"failure_mm": failure_mm, "resamples": resamples, "seed": seed}

    def _merge(self, engine: Engine) -> None:
        super()._merge(engine)
        if is_first():
            predictions, cases = [one.prediction for one in self.found], self.journal.cases
            labels = {item["image_id"]: item["label"] for item in cases.items}
            self.truths, outside = inside_truths(predictions, [labels[one.image_id] for one in predictions], self.names)
            self.errors = landmark_errors(predictions, self.truths, self.names)
            measured = summarise_run(self.errors, self.radii, **self.draws)
            rates = {f"sdr_{radius}mm": rate for radius, rate in measured["sdr"].items()}
            engine.state.metrics |= {"mre_mm": measured["mre_mm"], **rates}
            self.summary: dict[str, Any] = json_values(
                {
                    **measured,
                    "seconds_per_image": mean_seconds(self.found),
                    "images_without_truth": cases.without_truth,
                    "truth_without_image": cases.without_image,
                    "truth_outside_image": outside,
                    "failed_images": [cases.name_of(file) for file, _ in self.failures.rows],
                    "template_left_out": cases.template_copies,
                }
            )

    def _write(self, found: Sequence[Finding]) -> None:
        write_report(self.output_dir, self.errors, self.summary)
        self._write_page(truths=self.truths, measured=self.errors, metrics=self.summary)
        print(format_summary(self.summary))
        print(f"written to {one_line(str(self.output_dir))}")
