"""What a report is made of: the images of a run, their landmarks, and what is known about the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bundle.metrics.error_summary import LandmarkErrors
from bundle.records.prediction import LandmarkPrediction
from bundle.records.template import Template


@dataclass(frozen=True)
class ReportRun:
    """A run over M images with N landmarks.

    Attributes:
        kind: ``"evaluation"`` or ``"inference"``.
        cases: what was found in the images.
        template: the annotated image.
        seconds: (M,), the time to find the landmarks of each image; empty where nobody knows.
        truths: (M, N, 2), the true points in pixels, NaN where there is none; None for an inference.
        measured: their errors; None for an inference.
        metrics: what ``metrics.json`` holds; None for an inference.
        settings: what the run was started with, by name; values of JSON.
        versions: version of each program, by name.
        created: when the report was made, as text.
        failures: files that could not be used, each with the reason.
        remarks: titles with the names of images that they are about, such as those without a truth.
    """

    kind: str
    cases: Sequence[LandmarkPrediction]
    template: Template
    seconds: Sequence[float] = ()
    truths: np.ndarray | None = None
    measured: LandmarkErrors | None = None
    metrics: Mapping[str, Any] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    failures: Sequence[tuple[str, str]] = ()
    remarks: Sequence[tuple[str, Sequence[str]]] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """N landmark names, in the template's order."""
        return self.template.landmarks.names

    @property
    def has_truth(self) -> bool:
        """Whether errors are known."""
        return self.kind == "evaluation"

    @property
    def unit(self) -> str:
        """``"mm"`` where any error, or in an inference any pixel spacing, is known in millimetres, else ``"px"``."""
        if self.measured is not None:
            return "mm" if np.isfinite(self.measured.mm).any() else "px"
        return "mm" if any(case.spacing for case in self.cases) else "px"

    @property
    def errors(self) -> np.ndarray:
        """(M, N) errors in :attr:`unit`; NaN where unknown, infinite where a landmark was not found."""
        if self.measured is None:
            return np.full((len(self.cases), len(self.names)), np.nan)
        return self.measured.mm if self.unit == "mm" else self.measured.px

    @property
    def other_kinds(self) -> list[int]:
        """Numbers of the images that are probably of another kind; only errors against a truth count these."""
        return [index for index, case in enumerate(self.cases) if case.pose.other_kind]

    @property
    def confidences(self) -> np.ndarray:
        """(M, N) confidences; NaN where the image is of another kind."""
        confidences = self._stack([case.confidence for case in self.cases])
        confidences[self.other_kinds] = np.nan
        return confidences

    @property
    def expected_errors(self) -> np.ndarray:
        """(M, N) calibrated expectations of the error in :attr:`unit`; NaN where unknown."""
        scale = [case.mm_per_pixel if self.unit == "mm" else 1.0 for case in self.cases]
        return self._stack([case.expected_error * factor for case, factor in zip(self.cases, scale)])

    def _stack(self, rows: Sequence[np.ndarray]) -> np.ndarray:
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(self.names))
