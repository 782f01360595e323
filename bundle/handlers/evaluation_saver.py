"""Write what an evaluation measures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from ignite.engine import Engine, Events

from bundle.data.cases import Cases
from bundle.data.readable import Failures
from bundle.handlers.items import decollated_items
from bundle.handlers.prediction_saver import stop_for_failures, write_error_table
from bundle.handlers.stopwatch import Stopwatch
from bundle.metrics.radial_error import radial_error
from bundle.writers.metrics_report import LandmarkErrors, build_report, format_summary, write_report


class EvaluationSaver:
    """Gathers the radial errors of a run and writes ``metrics.json`` and ``metrics.csv`` at its end.

    Args:
        output_dir: the folder of the results.
        names: landmark names, in the template's order.
        cases: the images of the run, and those left out.
        failures: files that could not be read.
        stopwatch: what measured the seconds an image.
        radii: radii of the successful detection rate, in mm.
    """

    def __init__(
        self,
        output_dir: str | Path,
        names: Sequence[str],
        cases: Cases,
        failures: Failures,
        stopwatch: Stopwatch,
        radii: Sequence[float],
    ) -> None:
        self.output_dir = Path(output_dir)
        self.names = tuple(names)
        self.cases = cases
        self.failures = failures
        self.stopwatch = stopwatch
        self.radii = tuple(float(radius) for radius in radii)
        self._ids: list[str] = []
        self._pixels: list[torch.Tensor] = []
        self._millimetres: list[torch.Tensor] = []

    def attach(self, engine: Engine) -> None:
        """Attach to an engine."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._gather)

    def _gather(self, engine: Engine) -> None:
        for item in decollated_items(engine):
            self._ids.append(str(item["image_id"]))
            pred, label = item["pred"][None, :, :2], item["label"][None]
            self._pixels.append(radial_error(pred, label)[0])
            self._millimetres.append(radial_error(pred, label, item["spacing"][None].to(pred))[0])

    def finish(self) -> None:
        """Write the files and say what was measured; end with status 1 where files could not be read.

        Raises:
            SystemExit: with status 1, when there are failures.
        """
        shape = (len(self._ids), len(self.names))
        errors = LandmarkErrors(
            tuple(self._ids), self.names, _as_array(self._pixels, shape), _as_array(self._millimetres, shape)
        )
        report = build_report(
            errors,
            self.radii,
            seconds_per_image=self.stopwatch.mean,
            images_without_truth=self.cases.without_truth,
            truth_without_image=self.cases.without_image,
            failed_images=[Path(file).name for file, _ in self.failures.rows],
        )
        report["template_left_out"] = list(self.cases.template_copies)
        write_report(self.output_dir, errors, report)
        write_error_table(self.output_dir, self.failures)
        print(format_summary(report))
        print(f"written to {self.output_dir}")
        stop_for_failures(self.failures, self.output_dir)


def _as_array(rows: list[torch.Tensor], shape: tuple[int, int]) -> np.ndarray:
    return torch.stack(rows).double().cpu().numpy() if rows else np.zeros(shape)
