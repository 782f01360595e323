from __future__ import annotations

import numpy as np
import pytest

from bundle.report.cases import case_scores, choose_cases
from tests.report.made_up_runs import make_run

NAN, INF = float("nan"), float("inf")


def test_images_of_another_kind_are_a_group_of_their_own() -> None:
    groups = choose_cases(np.arange(9.0), others=[8, 3])
    assert groups["other"] == [8, 3]
    assert sorted(index for members in groups.values() for index in members) == list(range(9))


def test_worst_median_and_best() -> None:
    groups = choose_cases(np.arange(30.0))
    assert groups == {"worst": [29, 28, 27, 26], "median": [16, 15, 14, 13], "best": [3, 2, 1, 0]}


@pytest.mark.parametrize("count", range(8))
def test_few_images_are_in_one_group_each(count: int) -> None:
    groups = choose_cases(np.arange(float(count)))
    shown = [index for members in groups.values() for index in members]
    assert len(shown) == len(set(shown)) == count
    assert all(groups.values())


def test_images_without_a_truth_are_not_chosen_and_lost_ones_first() -> None:
    groups = choose_cases(np.array([1.0, NAN, INF, 2.0]))
    assert groups["worst"] == [2] and groups["best"] == [0]


def test_scores_are_errors_or_doubts() -> None:
    run = make_run(4, 3)
    np.testing.assert_allclose(case_scores(run), run.errors.mean(axis=1))
    run = make_run(4, 3, kind="inference")
    np.testing.assert_allclose(case_scores(run), 1 - run.confidences.mean(axis=1))
    assert case_scores(make_run(0, 3)).shape == (0,)
