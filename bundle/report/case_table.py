"""The table of all images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bundle.metrics.error_summary import mean
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
    """Make the table of a run: images of another kind first, then the worst.

    Args:
        run: the run.
        scores: (M,) how bad each image is (see :func:`bundle.report.choice.case_scores`).
    """
    confidence, errors, expected = run.confidences, run.errors, run.expected_errors
    columns: list[tuple[str, Sequence[str] | np.ndarray]] = [("Image", [case.image_id for case in run.cases])]
    if run.has_truth:
        largest, worst = _largest(errors, run.names)
        columns.append((f"Mean error, {run.unit}", _means(errors)))
        columns += [(f"Largest, {run.unit}", largest), ("Worst landmark", worst)]
    lowest, least = _largest(-confidence, run.names)
    columns += [("Mean confidence", _means(confidence)), ("Lowest", -lowest)]
    if not run.has_truth:
        columns.append(("Least sure landmark", least))
    if np.isfinite(expected).any():
        columns.append((f"Expected error, {run.unit}", _means(expected)))
    if run.seconds:
        columns.append(("Seconds", np.array(run.seconds)))
    poses = [case.pose.words() for case in run.cases]
    if any(poses):
        columns.append(("Pose", poses))
    same_kind = [not case.pose.other_kind for case in run.cases]
    order = np.lexsort([-np.nan_to_num(scores), np.isnan(scores), same_kind]).tolist()
    return CaseTable(
        [title for title, _ in columns],
        [isinstance(values, np.ndarray) for _, values in columns],
        [(index, [_cell(values[index]) for _, values in columns]) for index in order],
        2,
        f"Largest error from, {run.unit}" if run.has_truth else "Lowest confidence up to",
        run.has_truth,
    )


def _means(values: np.ndarray) -> np.ndarray:
    return np.array([mean(row) for row in values])


def _largest(values: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """The largest value of each image, NaN where it has none, and the landmark that it is of."""
    known = np.nan_to_num(values, nan=-np.inf, posinf=np.inf)
    places, none = known.argmax(axis=1), np.isnan(values).all(axis=1)
    largest = np.where(none, np.nan, known.max(axis=1, initial=-np.inf))
    return largest, ["" if unknown else names[place] for place, unknown in zip(places, none)]


def _cell(value: str | float) -> Cell:
    if isinstance(value, str):
        return Cell(value)
    if np.isnan(value):
        return Cell("-")
    return Cell("not found", 1e300) if np.isinf(value) else Cell(f"{value:.2f}", float(value))
