from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bundle.metrics.calibration import bins_of_equal_count, rank_correlation, risk_coverage

NAN, INF = float("nan"), float("inf")


def test_risk_coverage_by_hand() -> None:
    curve = risk_coverage(np.array([4.0, 1.0, 3.0, NAN]), np.array([0.1, 0.9, 0.5, 1.0]))
    assert curve is not None
    np.testing.assert_allclose(curve.coverage, [1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(curve.risk, [1, 2, 8 / 3])
    np.testing.assert_allclose(curve.ideal, curve.risk)
    assert curve.area == pytest.approx(np.mean([1, 2, 8 / 3]))
    assert [curve.place(share) for share in (0.01, 0.34, 0.5, 0.9, 1.0)] == [0, 0, 1, 2, 2]


def test_ties_do_not_depend_on_the_order() -> None:
    errors, sure = np.array([1.0, 5.0, 2.0, 4.0]), np.array([0.5, 0.5, 0.9, 0.5])
    curves = [risk_coverage(errors[order], sure[order]) for order in ([0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2])]
    for curve in curves[1:]:
        assert curve is not None and curves[0] is not None
        np.testing.assert_allclose(curve.risk, curves[0].risk)
    assert risk_coverage(np.array([NAN, INF]), np.array([1.0, 1.0])) is None


def test_bins_have_the_same_size_and_all_points() -> None:
    generator = np.random.default_rng(0)
    guess = generator.uniform(0, 5, (10, 7))
    error = guess + 1
    guess[0, 0] = NAN
    groups = bins_of_equal_count(guess, error, bins=10)
    assert sum(group.count for group in groups) == 69
    assert {group.count for group in groups} <= {6, 7}
    assert [group.predicted for group in groups] == sorted(group.predicted for group in groups)
    assert all(group.mean == pytest.approx(group.predicted + 1) for group in groups)
    assert bins_of_equal_count(np.array([NAN]), np.array([1.0])) == []
    assert len(bins_of_equal_count(np.arange(3.0), np.arange(3.0))) == 1


def test_rank_correlation_is_that_of_scipy() -> None:
    generator = np.random.default_rng(1)
    one = generator.normal(size=40)
    other = one + generator.normal(size=40)
    expected = stats.spearmanr(one[:-1], other[:-1]).statistic
    one[-1] = NAN
    assert rank_correlation(one, other) == pytest.approx(expected, abs=1e-12)
    tied, also = generator.integers(0, 4, 50).astype(float), generator.integers(0, 6, 50).astype(float)
    assert rank_correlation(tied, also) == pytest.approx(stats.spearmanr(tied, also).statistic, abs=1e-12)
    assert np.isnan(rank_correlation(np.ones(5), np.arange(5.0)))
