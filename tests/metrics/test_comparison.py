"""Comparisons of runs and of readers."""

import math

import numpy as np
import pytest
from scipy import stats

from bundle.errors import ConfigError
from bundle.metrics.comparison import (
    cohens_d,
    compare_errors,
    compare_landmarks,
    error_against_readers,
    holm,
    reader_agreement,
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


def readers(count: int, images: int = 12, landmarks: int = 5) -> np.ndarray:
    rng = np.random.default_rng(count)
    points = rng.uniform(0, 100, (1, images, landmarks, 2)) + rng.normal(0, 2, (count, images, landmarks, 2))
    points[rng.random((count, images, landmarks)) < 0.1] = np.nan
    return points


@pytest.mark.parametrize("count", [2, 3])
def test_distances_equal_numpy(count: int) -> None:
    points = readers(count)
    spacing = np.random.default_rng(0).uniform(0.1, 0.4, (12, 2))
    to_mean, between = reader_agreement(points, spacing)
    mm = points * spacing[None, :, None]
    mean = mm.mean(axis=0)
    for index in range(count):
        expected = np.where(np.isnan(mean[..., 0]), np.nan, np.linalg.norm(mm[index] - mean, axis=-1))
        np.testing.assert_allclose(to_mean[index], expected, rtol=0, atol=1e-9)
    given = ~np.isnan(points).any(axis=(0, 3))
    assert len(between) == count * (count - 1) // 2
    for (i, j), distance in between.items():
        expected = np.where(given, np.linalg.norm(mm[i] - mm[j], axis=-1), np.nan)
        np.testing.assert_allclose(distance, expected, rtol=0, atol=1e-9)


def test_two_readers_are_half_their_distance_from_the_mean_and_unknown_spacing_is_nan() -> None:
    points = np.array([[[[0.0, 0.0]]] * 2, [[[6.0, 8.0]]] * 2]).reshape(2, 2, 1, 2)
    to_mean, between = reader_agreement(points, np.array([[1.0, 1.0], [NAN, NAN]]))
    assert between[0, 1][0] == 10 and [reader[0] for reader in to_mean] == [5, 5]
    assert np.isnan(between[0, 1][1])


@pytest.mark.parametrize("shape", [(1, 3, 2, 2), (3, 2, 2), (2, 3, 2, 3)])
def test_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least two readers"):
        reader_agreement(np.zeros(shape))


def test_error_against_disagreement_equals_scipy() -> None:
    rng = np.random.default_rng(1)
    apart = rng.gamma(2, 1, (20, 6))
    errors = apart * 0.5 + rng.gamma(2, 0.5, (20, 6))
    errors[rng.random(errors.shape) < 0.2] = np.nan
    apart[rng.random(errors.shape) < 0.1] = np.nan
    both = ~np.isnan(errors) & ~np.isnan(apart)
    found = error_against_readers(errors, apart)
    assert found["points"] == both.sum() == sum(row.count for row in found["bins"])
    assert found["mean_error"] == pytest.approx(errors[both].mean(), abs=1e-9)
    assert found["mean_disagreement"] == pytest.approx(apart[both].mean(), abs=1e-9)
    assert found["within_percent"] == pytest.approx(100 * (errors[both] <= apart[both]).mean(), abs=1e-9)
    assert found["spearman"] == pytest.approx(stats.spearmanr(errors[both], apart[both]).statistic, abs=1e-9)
    means = [[a[both[:, k], k].mean() for k in range(6)] for a in (errors, apart)]
    assert found["landmark_spearman"] == pytest.approx(stats.spearmanr(*means).statistic, abs=1e-9)
    assert [row.predicted for row in found["bins"]] == sorted(row.predicted for row in found["bins"])


def test_error_against_disagreement_without_variation() -> None:
    found = error_against_readers(np.ones((2, 1)), np.ones((2, 1)))
    assert math.isnan(found["spearman"]) and found["within_percent"] == 100
    with pytest.raises(ValueError, match="got none"):
        error_against_readers(np.full((2, 1), NAN), np.ones((2, 1)))
