"""The run in a few numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bundle.metrics.error_summary import mean, summarise
from bundle.records.measured_value import MeasuredValue
from bundle.report.records import ReportRun
from bundle.writers.metrics_report import cell
from bundle.writers.panel import UNITS


@dataclass(frozen=True)
class Tile:
    """One number with what it means; ``note`` says more in a few words."""

    label: str
    value: str
    unit: str = ""
    note: str = ""


def tiles(run: ReportRun) -> list[Tile]:
    """The numbers that are looked at first."""
    confidence = run.confidences
    further = []
    if np.isfinite(confidence).any():
        further.append(Tile("Mean confidence", f"{mean(confidence):.2f}", "", "0 to 1"))
        if not run.has_truth:
            if np.isfinite(run.expected_errors).any():
                further.append(Tile("Expected error", f"{mean(run.expected_errors):.2f}", run.unit, "mean"))
            low = int((confidence < 0.5).sum())
            counted = int(np.isfinite(confidence).sum())
            further.append(Tile("Unsure points", str(low), "", f"of {counted}, confidence below 0.5"))
    if run.other_kinds:
        further.append(Tile("Of another kind", str(len(run.other_kinds)), "", f"of {len(run.cases)} images, probably"))
    if run.seconds:
        seconds = mean(np.array(run.seconds))
        further.append(Tile("Time per image", f"{seconds:.2f}", "s", "without writing"))
    metrics = run.metrics
    if metrics is None:
        return [Tile("Images", str(len(run.cases))), *further]
    if run.unit == "px":
        median = cell(summarise(run.errors)["median"], 1)
        first = Tile("Mean radial error", cell(metrics["mre_px"], 1), "px", "no pixel spacing is known")
        return [first, Tile("Median error", median, "px"), *further]
    rates = [
        Tile(f"Within {float(radius):g} mm", cell(rate, 1), "%", "successful detection rate")
        for radius, rate in metrics["sdr"].items()
    ]
    failures = metrics["failures"]
    over = "" if metrics["max_mm"] is None else f"largest {metrics['max_mm']:.1f} mm"
    return [
        Tile("Mean radial error", cell(metrics["mre_mm"]), "mm", _interval(metrics)),
        Tile("Median error", cell(metrics["median_mm"]), "mm"),
        *rates[:1],
        Tile(f"Over {failures['threshold_mm']:g} mm", cell(failures["percent"]), "%", over),
        *further,
    ]


def measurement_table(run: ReportRun) -> tuple[list[str], list[list[str]]]:
    """Header and rows of what was measured between the landmarks, over all images; no rows where nothing was."""
    named: dict[str, list[MeasuredValue]] = {}
    for case in run.cases:
        for value in case.measurements:
            named.setdefault(value.name, []).append(value)
    rows = []
    for name, values in named.items():
        known = np.array([value.value for value in values if math.isfinite(value.value)])
        first, unit = values[0], UNITS[values[0].unit]
        judged = [value for value in values if value.normal is not None]
        numbers = [known.mean(), known.std(), known.min(), known.max()] if known.size else [math.nan] * 4
        outside = f"{sum(not value.normal for value in judged)} of {len(judged)}" if judged else ""
        cells = [f"{cell(number, first.decimals)}{'' if math.isnan(number) else unit}" for number in numbers]
        rows.append([f"{name}: {first.title}" if first.title != name else name, str(known.size), *cells, outside])
    return ["Measurement", "Images", "Mean", "Std", "Lowest", "Highest", "Outside the normal range"], rows


def settings_rows(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Settings of any depth as rows of name and value; names of inner ones follow a dot."""
    rows: list[tuple[str, str]] = []
    for key, value in settings.items():
        inner = isinstance(value, Mapping) and value
        rows += settings_rows(value, f"{prefix}{key}.") if inner else [(f"{prefix}{key}", _setting(value))]
    return rows


def _interval(metrics: Mapping[str, Any]) -> str:
    """How sure the mean error is, or for one image how far the errors spread."""
    low, high = metrics["intervals"]["mre_mm"]
    if low is not None and high is not None:
        return f"{low:.2f} to {high:.2f} mm, {metrics['intervals']['level']:.0%} interval"
    return "" if metrics["std_mm"] is None else f"± {metrics['std_mm']:.2f} mm standard deviation"


def _setting(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_setting, value))
    words = {"None": "not set", "True": "yes", "False": "no", "{}": "none"}
    return value if isinstance(value, str) else words.get(str(value), str(value))
