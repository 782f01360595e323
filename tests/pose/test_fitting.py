"""The map on which matches agree, against maps that are known."""

import numpy as np
import pytest

from bundle.pose.affine import apply
from bundle.pose.fitting import agreement, fit_affine, fit_similarity
from tests.pose.test_affine import turned

TOLERANCE = 20.0


def matches(matrix: np.ndarray, wrong: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    source = rng.uniform(0, 1000, (200, 2))
    target = apply(matrix, source) + rng.normal(0, 3, source.shape)
    target[:wrong] = rng.uniform(-1000, 1000, (wrong, 2))
    return source, target


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0, 70, -150])
def test_a_similarity_among_wrong_matches(degrees: float, mirrored: bool) -> None:
    matrix = turned(degrees, 0.7, mirrored)
    source, target = matches(matrix, wrong=140)
    weights = np.ones(len(source))
    found = fit_similarity(source, target, weights, TOLERANCE, mirrored)
    assert found is not None
    assert np.linalg.norm(apply(found.matrix, source) - apply(matrix, source), axis=1).max() < 4
    agree = agreement(found.matrix, source, target, TOLERANCE)
    assert (agree[140:] > 0.5).all() and (agree[:140] > 0.5).sum() < 5
    assert found.votes == pytest.approx(agree.sum())
    again = fit_similarity(source, target, weights, TOLERANCE, mirrored)
    assert again is not None
    np.testing.assert_array_equal(again.matrix, found.matrix)


def test_matches_without_weight_do_not_count() -> None:
    matrix = turned(10)
    source, target = matches(matrix, wrong=0)
    target[:90] += 15  # within the tolerance, but all on one side
    weights = np.r_[np.zeros(90), np.ones(110)]
    found = fit_similarity(source, target, weights, TOLERANCE)
    assert found is not None
    assert np.linalg.norm(apply(found.matrix, source) - apply(matrix, source), axis=1).max() < 2


def test_too_few_matches_are_none() -> None:
    two = np.array([[0.0, 0.0], [1.0, 1.0]])
    assert fit_similarity(two, two, np.ones(2), TOLERANCE) is None


@pytest.mark.parametrize("squeezed", [0.7, 0.45])
def test_an_affine_map_from_a_similarity(squeezed: float) -> None:
    matrix = turned(20) @ np.diag([squeezed, 1.0, 1.0])
    source, target = matches(matrix, wrong=60)
    weights = np.ones(len(source))
    start = fit_similarity(source, target, weights, TOLERANCE)
    assert start is not None
    found = fit_affine(start.matrix, source, target, weights, TOLERANCE)
    assert found.votes > 1.5 * start.votes
    assert np.linalg.norm(apply(found.matrix, source) - apply(matrix, source), axis=1).max() < 3
