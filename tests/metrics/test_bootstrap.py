"""The bootstrap against one that draws images one after the other with numpy."""

import math

import numpy as np
import pytest

from bundle.errors import ConfigError
from bundle.metrics.bootstrap import LEVEL, bootstrap_mean, bootstrap_median
from tests.metrics.test_error_summary import random_errors

NAN, INF = math.nan, math.inf


def literal(errors: np.ndarray, statistic, resamples: int = 4000) -> list[float]:
    """Percentiles of a statistic over images with a point, drawn one after the other."""
    errors = errors[~np.isnan(errors).all(axis=1)]
    rng = np.random.default_rng(1)
    drawn = [statistic(errors[rng.integers(0, len(errors), len(errors))]) for _ in range(resamples)]
    return list(np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))


@pytest.mark.parametrize("shape", [(40, 5), (25, 1)])
def test_intervals_are_about_those_of_numpy(shape: tuple[int, int]) -> None:
    errors = random_errors(*shape)
    hits = np.where(np.isnan(errors), NAN, 100.0 * (errors < 2))
    bounds, means = bootstrap_mean(np.stack([errors, hits]), 4000, seed=3)
    assert bounds.shape == (2, 2) and means.shape == (2, 4000)
    assert bounds[0] == pytest.approx(literal(errors, np.nanmean), abs=0.05)
    assert bounds[1] == pytest.approx(literal(hits, np.nanmean), abs=3)
    assert bootstrap_median(errors, 4000, seed=3) == pytest.approx(literal(errors, np.nanmedian), abs=0.15)


def test_means_are_those_of_the_points_of_the_images_drawn() -> None:
    """Of two images, one with three points and one with one, there are four equally probable samples."""
    errors = np.array([[1.0, 2.0, 3.0], [8.0, NAN, NAN]])
    _, (means,) = bootstrap_mean(errors[None], 4000)
    values, counts = np.unique(means, return_counts=True)
    assert values.tolist() == [2.0, 3.5, 8.0] and counts / 4000 == pytest.approx([0.25, 0.5, 0.25], abs=0.03)


def test_the_seed_decides() -> None:
    errors = random_errors(9, 3)[None]
    assert np.array_equal(bootstrap_mean(errors, 50, 1)[1], bootstrap_mean(errors, 50, 1)[1])
    assert not np.array_equal(bootstrap_mean(errors, 50, 1)[1], bootstrap_mean(errors, 50, 2)[1])


@pytest.mark.parametrize("errors", [np.zeros((0, 2)), np.ones((1, 2)), np.array([[1.0, 2.0], [NAN, NAN]])])
def test_one_image_has_no_interval(errors: np.ndarray) -> None:
    assert np.isnan(bootstrap_mean(errors[None])[0]).all() and np.isnan(bootstrap_median(errors)).all()


def test_a_landmark_that_was_not_found_is_infinite() -> None:
    errors = np.array([[1.0], [INF], [1.0], [2.0]])
    (low, high) = bootstrap_mean(errors[None])[0][0]
    assert low == 1 and high == INF and bootstrap_median(errors)[1] == INF


def test_refuses_no_draws() -> None:
    with pytest.raises(ConfigError, match="resamples is 0"):
        bootstrap_mean(np.ones((1, 3, 1)), 0)
