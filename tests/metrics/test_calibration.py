"""What expected errors and confidences are worth."""

import numpy as np
import pytest
from scipy import stats

from bundle.metrics.calibration import (
    bins_of_equal_count,
    cross_validated,
    error_factors,
    interval_factor,
    rank_correlation,
    risk_coverage,
)

RNG = np.random.default_rng(0)
#: How much harder each of six landmarks is than the evidence says.
TRUE_FACTORS = np.array([0.5, 1.0, 1.0, 2.0, 4.0, 1.0])


def law(images: int) -> tuple[np.ndarray, np.ndarray]:
    expected = RNG.uniform(1, 3, (images, 6))
    return expected * TRUE_FACTORS * RNG.exponential(1.0, (images, 6)), expected


def test_factors_are_found_and_drawn_together_when_images_are_few() -> None:
    np.testing.assert_allclose(error_factors(*law(4000)), TRUE_FACTORS, rtol=0.1)
    errors, expected = np.full((2, 2), 3.0), np.array([[1.0, 3.0], [1.0, 3.0]])
    # Ratios of sums 6 / 2 and 6 / 6 of two images each, of all 12 / 8, which counts as twenty images.
    np.testing.assert_allclose(error_factors(errors, expected), [(2 * 3 + 20 * 1.5) / 22, (2 * 1 + 20 * 1.5) / 22])


def test_a_factor_makes_the_mean_right_whatever_the_ratios_of_single_points() -> None:
    errors, expected = np.array([[2.0], [10.0]]), np.array([[0.01], [11.99]])  # ratios 200 and 0.83
    assert error_factors(errors, expected) == pytest.approx(1.0)


def test_missing_points_do_not_count() -> None:
    errors, expected = law(50)
    holes = errors.copy()
    holes[::2, 0] = np.nan
    whole = error_factors(errors[1::2], expected[1::2])
    assert error_factors(holes, expected)[0] == pytest.approx(whole[0], rel=0.2)
    never = errors.copy()
    never[:, 3] = np.nan
    factors = error_factors(never, expected)
    assert np.isfinite(factors).all() and 0.5 < factors[3] < 4
    with pytest.raises(ValueError, match="no point"):
        error_factors(np.full((3, 2), np.nan), np.ones((3, 2)))


def test_the_interval_is_an_order_statistic() -> None:
    errors = np.arange(1.0, 10.0)  # nine ratios: ceil(10 * 0.9) is the ninth
    assert interval_factor(errors, np.ones(9), 0.9) == 9.0
    assert interval_factor(errors, np.ones(9), 0.5) == 5.0
    assert interval_factor(errors[:3], np.ones(3), 0.9) == np.inf
    assert interval_factor(np.array([np.nan, 2.0]), np.ones(2), 0.5) == 2.0


def test_unseen_points_are_covered_as_promised_and_expected_rightly() -> None:
    errors, before = law(600)
    expected, coverage = cross_validated(errors, before, level=0.9)
    assert coverage == pytest.approx(0.9, abs=0.02)
    assert expected.mean() == pytest.approx(errors.mean(), rel=0.05)
    with pytest.raises(ValueError, match="two images"):
        cross_validated(*law(1))


def test_risk_falls_with_coverage_when_the_expectation_is_right() -> None:
    errors, expected = law(2000)
    raw, right = risk_coverage(errors, -expected), risk_coverage(errors, -expected * TRUE_FACTORS)
    assert raw is not None and right is not None
    half, most, everything = (right.risk[right.place(share)] for share in (0.5, 0.9, 1.0))
    assert half < most < everything == pytest.approx(errors.mean())
    assert right.area < raw.area


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
