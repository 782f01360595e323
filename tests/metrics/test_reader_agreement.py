"""Readers against numpy and scipy, with missing points and spacings."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bundle.metrics.comparison import error_against_readers, reader_agreement

NAN = math.nan


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
    found = error_against_readers(errors, apart, bins=4)
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
