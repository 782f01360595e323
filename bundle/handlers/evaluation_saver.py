"""Write what an evaluation measures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events

from bundle.data.cases import Cases
from bundle.data.journal import Journal
from bundle.data.readable import Failures
from bundle.handlers.items import decollated_items, time_iterations
from bundle.handlers.prediction_saver import mean_seconds, open_results, stop_for_failures, write_error_table
from bundle.handlers.report_saver import ReportSaver
from bundle.metrics.bootstrap import RESAMPLES
from bundle.metrics.error_summary import FAILURE_MM, LandmarkErrors, summarise_run
from bundle.metrics.radial_error import radial_error
from bundle.ranks import is_first
from bundle.records.errors import one_line
from bundle.records.landmarks import outside_image
from bundle.writers.json_file import json_values
from bundle.writers.metrics_report import format_summary, write_report


class EvaluationSaver:
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
        self.output_dir = Path(output_dir)
        self.names = tuple(names)
        self.cases = cases
        self.failures = failures
        self.journal = journal
        self.radii = tuple(float(radius) for radius in radii)
        self.failure_mm = failure_mm
        self.resamples = resamples
        self.seed = seed
        self.report = report

    def attach(self, engine: Engine) -> None:
        """Attach to an engine, before other handlers that take time."""
        self._timer = time_iterations(engine)
        engine.add_event_handler(Events.STARTED, open_results, self.journal)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._note)
        engine.add_event_handler(Events.EXCEPTION_RAISED, lambda _engine, error: self.journal.release(error))

    def _note(self, engine: Engine) -> None:
        for item in decollated_items(engine):
            pred, label = item["pred"][None, :, :2], item["label"][None].to(item["pred"].device)
            pixels = radial_error(pred, label)[0]
            millimetres = radial_error(pred, label, item["spacing"][None].to(pred))[0]
            height, width = item["image"].shape[-2:]
            row: dict[str, Any] = {
                "px": pixels.tolist(),
                "mm": millimetres.tolist(),
                "seconds": self._timer.value(),
                "outside": np.flatnonzero(outside_image(label[0].cpu().numpy(), width, height)).tolist(),
            }
            if self.report is not None:
                row["report"] = self.report.note(item)
            self.journal.append(str(item["image_id"]), row)

    def finish(self) -> None:
        """Write the files and say what was measured; end the program where files could not be used.

        Every rank has to come here; rank 0 writes and speaks.

        Raises:
            SystemExit: see :func:`bundle.handlers.prediction_saver.stop_for_failures`.
        """
        rows, failures = self.journal.merge(self.failures)
        if is_first():
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
            write_error_table(self.output_dir, failures)
            if self.report is not None:
                self.report.write(rows, failures, report)
            self.journal.remove()
            print(format_summary(report))
            print(f"written to {one_line(str(self.output_dir))}")
        stop_for_failures(failures, len(rows), self.output_dir)
