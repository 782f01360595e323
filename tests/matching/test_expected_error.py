"""The expected error of a point, and the confidence made of it."""

import math

import pytest
import torch

from bundle.matching.expected_error import HALF_CONFIDENCE, confidence_of, expected_error


def test_the_formula_by_hand() -> None:
    spread, similarity, extent = 12.0, 0.6, 900.0
    found = expected_error(torch.tensor([spread]), torch.tensor([similarity]), extent)
    by_hand = extent * math.exp(1.70) * (spread / extent + 0.006) ** 1.31 * math.exp(-1.23 * similarity)
    assert found.item() == pytest.approx(by_hand, rel=1e-5)


def test_it_scales_with_the_image() -> None:
    spread, similarity = torch.tensor([[3.0, 9.0], [0.5, 0.9]])
    once = expected_error(spread, similarity, 100.0)
    torch.testing.assert_close(expected_error(spread * 7, similarity, 700.0), once * 7)


@pytest.mark.parametrize("worse", [(2.0, 1.0), (1.0, 0.5)])
def test_worse_evidence_means_a_larger_error_and_less_confidence(worse: tuple[float, float]) -> None:
    good = [torch.tensor([5.0]), torch.tensor([0.8])]
    bad = [value * factor for value, factor in zip(good, worse)]
    before, after = expected_error(*good, 500.0), expected_error(*bad, 500.0)
    assert after > before
    assert confidence_of(after, 500.0) < confidence_of(before, 500.0)


def test_confidence_is_one_half_where_it_says_so() -> None:
    expected = torch.tensor([0.0, HALF_CONFIDENCE * 200, 1e9])
    torch.testing.assert_close(confidence_of(expected, 200.0), torch.tensor([1.0, 0.5, 0.0]), atol=1e-6, rtol=0)


def test_perfect_evidence_is_finite() -> None:
    assert expected_error(torch.zeros(1), torch.ones(1), 1.0).isfinite().all()
