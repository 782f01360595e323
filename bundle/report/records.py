"""What a report is made of: the images of a run, their landmarks, and what is known about the run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bundle.records.pixel_size import WithPixelSize
from bundle.records.template import Template


@dataclass(frozen=True)
class ReportCase(WithPixelSize):
    """One image of a run with its N landmarks.

    Attributes:
        image_id: the image's id within the run.
        width: columns of the image.
        height: rows of the image.
        spacing: millimetres per pixel as ``(x, y)``; None where unknown.
        points: (N, 2), ``(x, y)`` in pixels, 0-based, pixel centres at integers; NaN where a landmark is missing.
        confidence: (N,), 0 to 1.
        expected_error: (N,), calibrated expectation of the error in pixels; NaN where there is no calibration.
        truth: (N, 2), the true points in the same coordinates, NaN where there is none; None for an inference.
        error_px: (N,), distance to the truth in pixels; NaN without a truth, infinite where a landmark was not found.
        error_mm: (N,), the same in millimetres; NaN where the spacing is unknown.
        seconds: time to find the landmarks.
        aspect: height of a pixel over its width where the spacing is unknown.
    """

    image_id: str
    width: int
    height: int
    spacing: tuple[float, float] | None
    points: np.ndarray
    confidence: np.ndarray
    expected_error: np.ndarray
    truth: np.ndarray | None
    error_px: np.ndarray
    error_mm: np.ndarray
    seconds: float
    aspect: float = 1.0

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> ReportCase:
        """The case of a row of the journal, whose entry ``report`` holds the attributes that the others do not say."""
        own = row["report"]
        unknown = [math.nan] * len(own["confidence"])
        lists = {**own, "error_px": row.get("px", unknown), "error_mm": row.get("mm", unknown)}
        arrays = {name: np.array(value, dtype=float) for name, value in lists.items() if isinstance(value, list)}
        spacing = own["spacing"] and tuple(own["spacing"])
        return cls(**{**lists, **arrays, "spacing": spacing}, image_id=row["image_id"], seconds=row["seconds"])

    @property
    def mm_a_pixel(self) -> float:
        """Millimetres a pixel, the geometric mean of both directions; NaN where unknown."""
        return math.sqrt(math.prod(self.spacing)) if self.spacing is not None else math.nan


@dataclass(frozen=True)
class ReportRun:
    """A run.

    Attributes:
        kind: ``"evaluation"`` or ``"inference"``.
        cases: the images.
        template: the annotated image.
        metrics: what ``metrics.json`` holds; None for an inference.
        settings: what the run was started with, by name; values of JSON.
        versions: version of each program, by name.
        created: when the report was made, as text.
        failures: files that could not be used, each with the reason.
        remarks: titles with the names of images that they are about, such as those without a truth.
    """

    kind: str
    cases: Sequence[ReportCase]
    template: Template
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
    def unit(self) -> str:
        """``"mm"`` where any error is known in millimetres, else ``"px"``."""
        return "mm" if any(np.isfinite(case.error_mm).any() for case in self.cases) else "px"

    @property
    def has_truth(self) -> bool:
        """Whether errors are known."""
        return self.kind == "evaluation"

    def errors(self) -> np.ndarray:
        """(M, N) errors in :attr:`unit`; NaN where unknown, infinite where a landmark was not found."""
        return self._stack([case.error_mm if self.unit == "mm" else case.error_px for case in self.cases])

    def confidences(self) -> np.ndarray:
        """(M, N) confidences."""
        return self._stack([case.confidence for case in self.cases])

    def expected_errors(self) -> np.ndarray:
        """(M, N) calibrated expectations of the error in :attr:`unit`; NaN where unknown."""
        scale = [case.mm_a_pixel if self.unit == "mm" else 1.0 for case in self.cases]
        return self._stack([case.expected_error * factor for case, factor in zip(self.cases, scale)])

    def _stack(self, rows: Sequence[np.ndarray]) -> np.ndarray:
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(self.names))
