"""Write the report of a run that one looks at."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np

from bundle import __version__
from bundle.data.cases import Cases
from bundle.data.journal import NOTES, Finding
from bundle.data.readable import Failures
from bundle.errors import find_bundle_error
from bundle.handlers.experiment_logs import ExperimentLogs
from bundle.metrics.detection_rate import positive_radii
from bundle.metrics.error_summary import LandmarkErrors
from bundle.records.template import Template
from bundle.report import (
    PICTURE_BUDGET,
    PictureStore,
    ReportRun,
    draw_figures,
    write_page,
)

#: Programs whose version says most about where numbers come from.
_PROGRAMS = ("torch", "monai", "numpy", "scipy", "pydicom", "timm")


class ReportSaver:
    """Collects what a report shows, image by image, and writes ``report.html`` when the run is complete.

    The small picture of an image waits beside its note in the journal, so that the report of a run over several ranks,
    or of one that was killed and continued, is the same as any. Rank 0 writes.

    Args:
        output_dir: the folder of the results.
        kind: ``"evaluation"`` or ``"inference"``.
        template: the annotated image.
        cases: the images of the run, and those left out.
        load: reads an item of the cases, as the run does.
        settings: what the run was started with, by name.
        radii: radii in mm that the detection curve marks; None for none.
        tracker: where the report and its figures are logged; None for nowhere.
    """

    def __init__(
        self,
        output_dir: str | Path,
        kind: str,
        template: Template,
        cases: Cases,
        load: Callable[[dict[str, Any]], Any],
        settings: Mapping[str, Any] | None = None,
        radii: Sequence[float] | None = None,
        tracker: ExperimentLogs | None = None,
    ) -> None:
        self.path = Path(output_dir) / "report.html"
        self.kind = kind
        self.template = template
        self.cases = cases
        self.settings = dict(settings or {})
        self.radii = () if radii is None else positive_radii(radii)
        self.tracker = tracker
        self.load = load
        self.pictures = PictureStore(Path(output_dir) / NOTES, self._pixels, PICTURE_BUDGET // idist.get_world_size())

    def _pixels(self, image_id: str) -> np.ndarray | None:
        """The pixels of an image, read once more; None where that is not possible any more."""
        item = next(item for item in self.cases.items if item["image_id"] == image_id)
        try:
            return self.load(item)["image"].numpy()[0]
        except Exception as error:  # MONAI wraps what a transform raises
            if find_bundle_error(error) is None:
                raise
            return None

    def write(
        self,
        found: Sequence[Finding],
        failures: Failures,
        metrics: Mapping[str, Any] | None = None,
        errors: LandmarkErrors | None = None,
        truths: np.ndarray | None = None,
    ) -> Path:
        """Write the report.

        Args:
            found: what is known of the images.
            failures: files that could not be used.
            metrics: what ``metrics.json`` holds; None for an inference.
            errors: the errors; None for an inference.
            truths: (M, N, 2), the true points in pixels; None for an inference.

        Returns:
            The file.

        Raises:
            BundleError: when it cannot be written.
        """
        run = ReportRun(
            kind=self.kind,
            cases=[one.prediction for one in found],
            template=self.template,
            seconds=[one.seconds for one in found],
            truths=truths,
            measured=errors,
            metrics=metrics,
            settings=self.settings,
            versions=_versions(),
            created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            failures=[(Path(file).name, reason) for file, reason in failures.rows],
            remarks=(
                *((f"Left out of the folder: {reason}", names) for reason, names in self.cases.left_out.items()),
                ("Left out, for it is the template itself", self.cases.template_copies),
                ("Images without a truth", self.cases.without_truth),
                ("Truth without an image", self.cases.without_image),
                ("True landmarks outside their image, left out", (metrics or {}).get("truth_outside_image", [])),
            ),
        )
        figures = draw_figures(run, self.radii)
        write_page(self.path, run, figures, self.pictures)
        if self.tracker is not None:
            self.tracker.log_report(self.path, figures)
        return self.path


def _versions() -> dict[str, str]:
    installed = {name: metadata.version(name) for name in _PROGRAMS}
    system = f"{platform.system()} {platform.machine()}"
    return {"one-shot-landmarks": __version__, "python": platform.python_version(), **installed, "platform": system}
