"""The table of all images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bundle.report.records import ReportRun


@dataclass(frozen=True)
class Cell:
    """A cell: what it shows, and the number that it is sorted by (None for text, or where the number is unknown)."""

    text: str
    value: float | None = None


@dataclass(frozen=True)
class CaseTable:
    """The table of all images.

    Attributes:
        header: titles of the columns; the first is the image.
        numeric: whether each column holds numbers.
        rows: number of the image within the run, and its cells.
        limit_column: the column that the filter's number is compared with.
        limit_label: what the filter's number means.
        limit_is_lowest: whether rows from that number on are kept; if not, those up to it.
    """

    header: Sequence[str]
    numeric: Sequence[bool]
    rows: Sequence[tuple[int, Sequence[Cell]]]
    limit_column: int
    limit_label: str
    limit_is_lowest: bool


def build_case_table(run: ReportRun, scores: np.ndarray) -> CaseTable:
    """Make the table of a run, the worst images first.

    Args:
        run: the run.
        scores: (M,) how bad each image is (see :func:`bundle.report.choice.case_scores`).
    """
    confidence, expected = run.confidences(), run.expected_errors()
    calibrated = bool(np.isfinite(expected).any())
    errors = run.errors() if run.has_truth else None
    header, numeric = ["Image"], [False]
    if errors is not None:
        header += [f"Mean error, {run.unit}", f"Largest, {run.unit}", "Worst landmark"]
        numeric += [True, True, False]
    header += ["Mean confidence", "Lowest"]
    numeric += [True, True]
    if errors is None:
        header.append("Least sure landmark")
        numeric.append(False)
    if calibrated:
        header.append(f"Expected error, {run.unit}")
        numeric.append(True)
    header.append("Seconds")
    numeric.append(True)
    order = sorted(range(len(run.cases)), key=lambda i: (np.isnan(scores[i]), -np.nan_to_num(scores[i], posinf=1e300)))
    rows = []
    for index in order:
        case = run.cases[index]
        cells = [Cell(case.image_id)]
        if errors is not None:
            worst = _place(errors[index], np.nanargmax)
            cells += [
                _number(_mean(errors[index])),
                _number(float("nan") if worst is None else float(errors[index][worst])),
                Cell("" if worst is None else run.names[worst]),
            ]
        lowest = _place(confidence[index], np.nanargmin)
        cells += [
            _number(_mean(confidence[index])),
            _number(float("nan") if lowest is None else float(confidence[index][lowest])),
        ]
        if errors is None:
            cells.append(Cell("" if lowest is None else run.names[lowest]))
        if calibrated:
            cells.append(_number(_mean(expected[index])))
        cells.append(_number(case.seconds))
        rows.append((index, cells))
    if errors is not None:
        return CaseTable(header, numeric, rows, 2, f"Largest error from, {run.unit}", True)
    return CaseTable(header, numeric, rows, 2, "Lowest confidence up to", False)


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def _place(values: np.ndarray, which: np.ufunc | object) -> int | None:
    return None if np.isnan(values).all() else int(which(values))  # type: ignore[operator]


def _number(value: float) -> Cell:
    if np.isnan(value):
        return Cell("-")
    if np.isinf(value):
        return Cell("not found", 1e300)
    return Cell(f"{value:.2f}", value)
