"""Which images a report shows, in which order, and what its table says of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bundle.metrics.error_summary import mean
from bundle.report.records import ReportRun


def case_scores(run: ReportRun) -> np.ndarray:
    """(M,) how bad each image is: its mean error, or for an inference one minus its mean confidence.

    A landmark that was not found makes its image infinitely bad; NaN where there is nothing to judge by.
    """
    return _means(run.errors) if run.has_truth else 1 - _means(run.confidences)


def choose_cases(scores: np.ndarray, others: Sequence[int] = (), each: int = 4) -> dict[str, list[int]]:
    """Images of another kind, and of the rest the worst, the middle and the best; none is in two groups.

    Args:
        scores: (M,) how bad each image is; NaN is chosen for none.
        others: numbers of the images of another kind.
        each: how many images a group has at most.

    Returns:
        Numbers of images by ``"other"``, ``"worst"``, ``"median"`` and ``"best"``, the worst of each first; groups are
        smaller where there are few images, and those that would be empty are left out.
    """
    order = [int(i) for i in np.argsort(-scores, kind="stable") if not np.isnan(scores[i]) and i not in others]
    count = len(order)
    size = min(each, -(-count // 3))
    worst, best = order[:size], order[max(size, count - size) :]
    rest = order[len(worst) : count - len(best)]
    start = max(0, (len(rest) - size) // 2)
    groups = {"other": list(others)[:each], "worst": worst, "median": rest[start : start + size], "best": best}
    return {name: members for name, members in groups.items() if members}


def case_order(run: ReportRun, scores: np.ndarray) -> list[int]:
    """The numbers of all images: those of another kind first, then the worst."""
    same_kind = [not case.pose.other_kind for case in run.cases]
    return [int(index) for index in np.lexsort([-np.nan_to_num(scores), np.isnan(scores), same_kind])]


def case_columns(run: ReportRun) -> dict[str, list[str] | list[float]]:
    """The table of all images: M texts or numbers by title; a number is NaN where unknown, infinite where not found.

    The filter of the page compares its number with the third column.
    """
    confidence, errors, expected = run.confidences, run.errors, run.expected_errors
    columns: dict[str, list[str] | list[float]] = {"Image": [case.image_id for case in run.cases]}
    if run.has_truth:
        largest, worst = _largest(errors, run.names)
        columns[f"Mean error, {run.unit}"] = _means(errors).tolist()
        columns |= {f"Largest, {run.unit}": largest.tolist(), "Worst landmark": worst}
    lowest, least = _largest(-confidence, run.names)
    columns |= {"Mean confidence": _means(confidence).tolist(), "Lowest": (-lowest).tolist()}
    if not run.has_truth:
        columns["Least sure landmark"] = least
    if np.isfinite(expected).any():
        columns[f"Expected error, {run.unit}"] = _means(expected).tolist()
    if run.seconds:
        columns["Seconds"] = list(run.seconds)
    poses = [case.pose.words() for case in run.cases]
    return {**columns, "Pose": poses} if any(poses) else columns


def _means(values: np.ndarray) -> np.ndarray:
    return np.array([mean(row) for row in values])


def _largest(values: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """The largest value of each image, NaN where it has none, and the landmark that it is of."""
    known = np.nan_to_num(values, nan=-np.inf, posinf=np.inf)
    places, none = known.argmax(axis=1), np.isnan(values).all(axis=1)
    largest = np.where(none, np.nan, known.max(axis=1, initial=-np.inf))
    return largest, ["" if unknown else names[place] for place, unknown in zip(places, none)]
