"""The bootstrap against one that draws images one after the other with numpy."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from scipy import stats

from bundle.metrics.bootstrap import (
    draw_images,
    failure_scores,
    percentile_interval,
    rate_scores,
    resampled_means,
    resampled_medians,
)
from bundle.records.errors import ConfigError
from tests.metrics.test_error_summary import random_errors

NAN, INF = math.nan, math.inf


def literal(errors: np.ndarray, weights: torch.Tensor) -> list[np.ndarray]:
    """The rows of each resample, an image as often as it was drawn."""
    return [np.repeat(errors, row.long().numpy(), axis=0) for row in weights]


@pytest.mark.parametrize("shape", [(12, 5), (7, 1), (1, 4)])
def test_resampled_statistics_equal_numpy(shape: tuple[int, int]) -> None:
    errors = random_errors(*shape)
    weights = draw_images(shape[0], 50, seed=3)
    samples = literal(errors, weights)
    tensor = torch.from_numpy(errors)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # resamples without any value
        means = [np.nanmean(rows) for rows in samples]
        by_landmark = [np.nanmean(rows, axis=0) for rows in samples]
        medians = [np.nanmedian(rows) for rows in samples]
    np.testing.assert_allclose(resampled_means(tensor, weights), means, rtol=0, atol=1e-9)
    np.testing.assert_allclose(resampled_means(tensor, weights, by_landmark=True), by_landmark, rtol=0, atol=1e-9)
    np.testing.assert_allclose(resampled_medians(tensor, weights), medians, rtol=0, atol=1e-9)
    rates = [100 * (rows[~np.isnan(rows)] < 2).mean() if (~np.isnan(rows)).any() else NAN for rows in samples]
    np.testing.assert_allclose(resampled_means(rate_scores(tensor, 2.0), weights), rates, rtol=0, atol=1e-9)


def test_every_resample_has_as_many_images_and_the_seed_decides() -> None:
    weights = draw_images(9, 200, seed=1)
    assert (weights.sum(dim=1) == 9).all() and weights.std(dim=0).min() > 0
    assert torch.equal(weights, draw_images(9, 200, seed=1))
    assert not torch.equal(weights, draw_images(9, 200, seed=2))
    assert draw_images(0, 3, seed=0).shape == (3, 0)


def test_interval_equals_scipys_bootstrap_quantiles() -> None:
    values = torch.from_numpy(np.random.default_rng(0).normal(size=(997, 3)))
    low, high = percentile_interval(values, 0.9)
    np.testing.assert_allclose(low, np.quantile(values.numpy(), 0.05, axis=0), rtol=0, atol=1e-9)
    np.testing.assert_allclose(high, np.quantile(values.numpy(), 0.95, axis=0), rtol=0, atol=1e-9)
    values[::2] = NAN
    np.testing.assert_allclose(
        percentile_interval(values)[1], np.nanquantile(values.numpy(), 0.975, axis=0), rtol=0, atol=1e-9
    )


def test_interval_is_about_that_of_scipy() -> None:
    errors = np.random.default_rng(5).gamma(2.0, 1.0, 80)
    low, high = percentile_interval(
        resampled_means(torch.from_numpy(errors[:, None]), draw_images(80, 4000, seed=0)), 0.95
    )
    expected = stats.bootstrap(
        (errors,), np.mean, n_resamples=4000, method="percentile", random_state=1
    ).confidence_interval
    assert (float(low), float(high)) == pytest.approx((expected.low, expected.high), abs=0.03)


def test_infinite_and_missing_values() -> None:
    weights = torch.tensor([[2.0, 0.0], [0.0, 2.0], [1.0, 1.0]], dtype=torch.float64)
    assert resampled_means(torch.tensor([[1.0], [INF]]), weights).tolist() == [1.0, INF, INF]
    found = resampled_means(torch.tensor([[1.0], [NAN]]), weights)
    assert found[0] == found[2] == 1.0 and found[1].isnan()
    assert resampled_medians(torch.tensor([[1.0], [INF]]), weights).tolist() == [1.0, INF, INF]
    assert resampled_medians(torch.tensor([[1.0], [NAN]]), weights)[1].isnan()
    assert resampled_medians(torch.full((2, 3), NAN), weights).isnan().all()
    low, high = percentile_interval(torch.tensor([1.0, INF, INF], dtype=torch.float64))
    assert low == INF and high == INF
    assert all(bound.isnan() for bound in percentile_interval(torch.tensor([NAN, NAN])))


def test_scores_are_strict_and_keep_nan() -> None:
    errors = torch.tensor([[2.0, 1.9, 2.1, NAN]])
    assert rate_scores(errors, 2.0)[0, :3].tolist() == [0, 100, 0]
    assert failure_scores(errors, 2.0)[0, :3].tolist() == [0, 0, 100]
    assert rate_scores(errors, 2.0)[0, 3].isnan() and failure_scores(errors, 2.0)[0, 3].isnan()


def test_refuses_senseless_settings() -> None:
    with pytest.raises(ConfigError, match="resamples is 0"):
        draw_images(3, 0, seed=0)
    for level in (0.0, 1.0, NAN):
        with pytest.raises(ConfigError, match="level is"):
            percentile_interval(torch.ones(3), level)
