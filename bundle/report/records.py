"""What a report is made of: the images of a run, their landmarks, and what is known about the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class ReportCase:
    """One image of a run with its N landmarks.

    Attributes:
        image_id: the image's id within the run.
        file: the image file's name, without its folder.
        width: columns of the image.
        height: rows of the image.
        spacing: millimetres a pixel as ``(x, y)``; None where unknown.
        points: (N, 2), ``(x, y)`` in pixels, 0-based, pixel centres at integers; NaN where a landmark is missing.
        confidence: (N,), 0 to 1.
        expected_error: (N,), calibrated expectation of the error in pixels; NaN where there is no calibration.
        truth: (N, 2), the true points in the same coordinates, NaN where there is none; None for an inference.
        error_px: (N,), distance to the truth in pixels; NaN without a truth, infinite where a landmark was not found.
        error_mm: (N,), the same in millimetres; NaN where the spacing is unknown.
        seconds: time to find the landmarks.
    """

    image_id: str
    file: str
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

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> ReportCase:
        """The case of a row of JSON values, as :func:`case_row` makes it."""
        points = _points(row["points"])
        nothing = np.full(len(points), np.nan)
        truth = row.get("truth")
        return cls(
            image_id=str(row["image_id"]),
            file=str(row["file"]),
            width=int(row["width"]),
            height=int(row["height"]),
            spacing=None if row["spacing"] is None else (float(row["spacing"][0]), float(row["spacing"][1])),
            points=points,
            confidence=np.asarray(row["confidence"], dtype=np.float64),
            expected_error=np.asarray(row["expected_error"], dtype=np.float64),
            truth=None if truth is None else _points(truth),
            error_px=nothing if row.get("error_px") is None else np.asarray(row["error_px"], dtype=np.float64),
            error_mm=nothing if row.get("error_mm") is None else np.asarray(row["error_mm"], dtype=np.float64),
            seconds=float(row["seconds"]),
        )

    @property
    def mm_a_pixel(self) -> float:
        """Millimetres a pixel, the geometric mean of both directions; NaN where unknown."""
        return float(np.sqrt(self.spacing[0] * self.spacing[1])) if self.spacing is not None else float("nan")


@dataclass(frozen=True)
class ReportTemplate:
    """The annotated image.

    Attributes:
        name: the image file's name.
        width: columns.
        height: rows.
        points: (N, 2), ``(x, y)`` in pixels of the template.
        pixels: (H, W), 0 to 1; None to show no picture.
    """

    name: str
    width: int
    height: int
    points: np.ndarray
    pixels: np.ndarray | None = None


@dataclass(frozen=True)
class ReportRun:
    """A run.

    Attributes:
        kind: ``"evaluation"`` or ``"inference"``.
        names: N landmark names, in the template's order.
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
    names: tuple[str, ...]
    cases: Sequence[ReportCase]
    template: ReportTemplate
    metrics: Mapping[str, Any] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    failures: Sequence[tuple[str, str]] = ()
    remarks: Sequence[tuple[str, Sequence[str]]] = ()

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


def case_row(
    *,
    file: str,
    width: int,
    height: int,
    spacing: Sequence[float] | None,
    points: np.ndarray,
    confidence: np.ndarray,
    expected_error: np.ndarray,
    truth: np.ndarray | None,
) -> dict[str, Any]:
    """What has to be kept of an image, as JSON values; the arguments are those of :class:`ReportCase`."""
    return {
        "file": file,
        "width": width,
        "height": height,
        "spacing": None if spacing is None else [float(step) for step in spacing],
        "points": np.asarray(points, dtype=np.float64).tolist(),
        "confidence": np.asarray(confidence, dtype=np.float64).tolist(),
        "expected_error": np.asarray(expected_error, dtype=np.float64).tolist(),
        "truth": None if truth is None else np.asarray(truth, dtype=np.float64).tolist(),
    }


def _points(rows: Any) -> np.ndarray:
    return np.asarray(rows, dtype=np.float64).reshape(-1, 2)
