"""The run in a few numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bundle.report.records import ReportRun


@dataclass(frozen=True)
class Tile:
    """One number with what it means; ``note`` says more in a few words."""

    label: str
    value: str
    unit: str = ""
    note: str = ""


def tiles(run: ReportRun) -> list[Tile]:
    """The numbers that are looked at first."""
    seconds = [case.seconds for case in run.cases if np.isfinite(case.seconds)]
    speed = Tile("Time an image", f"{np.mean(seconds):.2f}", "s", "without writing") if seconds else None
    confidence = run.confidences()
    sure = (
        Tile("Mean confidence", f"{np.nanmean(confidence):.2f}", "", "0 to 1")
        if np.isfinite(confidence).any()
        else None
    )
    metrics = run.metrics
    if metrics is None:
        low = int((confidence < 0.5).sum())
        doubtful = Tile("Unsure points", str(low), "", f"of {confidence.size}, confidence below 0.5")
        return [Tile("Images", str(len(run.cases))), *(tile for tile in (sure, doubtful, speed) if tile)]
    found: list[Tile] = []
    if run.unit == "mm":
        found.append(Tile("Mean radial error", _cell(metrics.get("mre_mm")), "mm", _interval(metrics)))
        found.append(Tile("Median error", _cell(metrics.get("median_mm")), "mm"))
        for radius, rate in list((metrics.get("sdr") or {}).items())[:1]:
            found.append(Tile(f"Within {float(radius):g} mm", _cell(rate, 1), "%", "successful detection rate"))
        over = _optional(metrics.get("max_mm"), "largest {:.1f} mm")
        failures = metrics["failures"]
        found.append(Tile(f"Over {failures['threshold_mm']:g} mm", _cell(failures["percent"], 2), "%", over))
    else:
        found.append(Tile("Mean radial error", _cell(metrics.get("mre_px"), 1), "px", "no pixel spacing is known"))
        errors = run.errors()
        known = errors[np.isfinite(errors)]
        if known.size:
            found.append(Tile("Median error", f"{np.median(known):.1f}", "px"))
    return [*found, *(tile for tile in (sure, speed) if tile)]


def landmark_table(metrics: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of landmarks, all together first, as in ``metrics.json``."""
    radii = list(metrics.get("sdr") or {})
    header = ["Landmark", "Points", "MRE, mm", "Std, mm", "Median, mm", "MRE, px"]
    header += [f"< {float(radius):g} mm, %" for radius in radii]
    rows = []
    for name, row in [("All landmarks", metrics), *((row["name"], row) for row in metrics.get("per_landmark", ()))]:
        rates = row.get("sdr") or {}
        rows.append(
            [
                str(name),
                str(row.get("points", "")),
                *(_cell(row.get(key)) for key in ("mre_mm", "std_mm", "median_mm")),
                _cell(row.get("mre_px"), 1),
                *(_cell(rates.get(radius), 1) for radius in radii),
            ]
        )
    return header, rows


def settings_rows(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Settings of any depth as rows of name and value; names of inner ones follow a dot."""
    rows: list[tuple[str, str]] = []
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            rows.extend(settings_rows(value, f"{name}."))
        else:
            rows.append((name, _setting(value)))
    return rows


def _interval(metrics: Mapping[str, Any]) -> str:
    """How sure the mean error is, where that was computed, else how far the errors spread."""
    intervals = metrics.get("intervals", {})
    low, high = intervals.get("mre_mm", (None, None))
    if low is not None and high is not None:
        return f"{low:.2f} to {high:.2f} mm, {intervals['level']:.0%} interval"
    return _optional(metrics.get("std_mm"), "± {:.2f} mm standard deviation")


def _setting(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_setting(one) for one in value)
    return "none" if isinstance(value, Mapping) else str(value)


def _cell(value: float | None, decimals: int = 2) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"


def _optional(value: float | None, text: str) -> str:
    return "" if value is None else text.format(value)
