"""Which images a report shows."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from bundle.report.records import ReportRun


def case_scores(run: ReportRun) -> np.ndarray:
    """(M,) how bad each image is: its mean error, or for an inference one minus its mean confidence.

    A landmark that was not found makes its image infinitely bad; NaN where there is nothing to judge by.
    """
    values = run.errors if run.has_truth else 1 - run.confidences
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of nothing is NaN
        return np.nanmean(values, axis=1) if values.size else np.full(len(run.cases), np.nan)


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
