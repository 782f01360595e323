"""The comparison of two runs against scipy and against its definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bundle.errors import ConfigError
from bundle.metrics.comparison import (
    cohens_d,
    compare_errors,
    compare_landmarks,
    holm,
    signed_rank,
)
from tests.metrics.test_error_summary import random_errors

NAN = math.nan


def two_runs(images: int = 40, landmarks: int = 6, gain: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(8)
    first = random_errors(images, landmarks)
    second = np.abs(first - gain + rng.normal(0, 0.5, first.shape))
    second[rng.random(second.shape) < 0.1] = np.nan
    return first, second


def test_figures_equal_numpy_and_scipy() -> None:
    first, second = two_runs()
    found = compare_errors(first, second)
    both = ~np.isnan(first) & ~np.isnan(second)
    change = np.where(both, second - first, np.nan)
    by_image = np.nanmean(change[both.any(axis=1)], axis=1)
    assert (found["images"], found["points"]) == (len(by_image), both.sum())
    assert found["first"] == pytest.approx(first[both].mean(), abs=1e-9)
    assert found["second"] == pytest.approx(second[both].mean(), abs=1e-9)
    assert found["difference"] == pytest.approx(change[both].mean(), abs=1e-9)
    assert found["wilcoxon_p"] == pytest.approx(stats.wilcoxon(by_image).pvalue, abs=1e-9)
    assert found["cohens_d"] == pytest.approx(by_image.mean() / by_image.std(ddof=1), abs=1e-9)
    assert found["better_images"] == pytest.approx(100 * (by_image < 0).mean(), abs=1e-9)
    assert found["interval"][0] < found["difference"] < found["interval"][1] < 0
    assert 0 < found["bootstrap_p"] < 0.01 and found["rank_biserial"] < 0


def test_equal_runs_show_no_difference() -> None:
    first, _ = two_runs()
    found = compare_errors(first, first)
    assert found["difference"] == 0 and found["interval"] == (0, 0) and found["bootstrap_p"] == 1
    assert math.isnan(found["wilcoxon_p"]) and math.isnan(found["rank_biserial"]) and math.isnan(found["cohens_d"])


def test_the_other_way_round_is_the_negative() -> None:
    first, second = two_runs()
    one, other = compare_errors(first, second), compare_errors(second, first)
    assert one["difference"] == pytest.approx(-other["difference"])
    assert one["interval"] == pytest.approx((-other["interval"][1], -other["interval"][0]))
    assert one["rank_biserial"] == pytest.approx(-other["rank_biserial"])
    assert one["wilcoxon_p"] == pytest.approx(other["wilcoxon_p"])


def test_rank_biserial_equals_scipys_statistic() -> None:
    differences = np.random.default_rng(2).normal(0.2, 1, 31)
    total = 31 * 32 / 2
    smaller = stats.wilcoxon(differences).statistic
    assert abs(signed_rank(differences)[1]) == pytest.approx(1 - 2 * smaller / total, abs=1e-9)
    assert signed_rank(np.array([1.0, 2.0, 0.0]))[1] == 1 and signed_rank(np.array([-1.0]))[1] == -1


def test_holm_equals_its_definition() -> None:
    p = np.array([0.01, NAN, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(holm(p), [0.03, NAN, 0.06, 0.06, 0.02], atol=1e-12)
    assert np.isnan(holm(np.array([NAN, NAN]))).all()
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]


def test_each_landmark_is_tested_by_itself() -> None:
    first, second = two_runs()
    second[:, 2] = np.nan
    found = compare_landmarks(first, second)
    assert all(math.isnan(value) for value in found[2])
    change = second[:, 0] - first[:, 0]
    change = change[~np.isnan(change)]
    assert found[0][0] == pytest.approx(change.mean(), abs=1e-9)
    assert found[0][1] >= signed_rank(change)[0]


def test_small_samples() -> None:
    assert math.isnan(cohens_d(np.array([1.0])))
    found = compare_errors(np.array([[1.0, 2.0]]), np.array([[2.0, 3.0]]))
    assert (found["images"], found["points"], found["difference"]) == (1, 2, 1.0)
    assert math.isnan(found["interval"][0]) and math.isnan(found["bootstrap_p"])


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="no point in common"):
        compare_errors(np.array([[NAN, 1.0]]), np.array([[1.0, NAN]]))
    with pytest.raises(ConfigError, match="not found"):
        compare_errors(np.array([[math.inf]]), np.array([[1.0]]))
    with pytest.raises(ValueError, match="shape of first"):
        compare_errors(np.ones((2, 2)), np.ones((2, 3)))
