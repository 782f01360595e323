from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bundle.report.shape import align, similarity
from tests.report.made_up_runs import make_run, shape

NAN = float("nan")
PLANE = np.array([1, 1j])


def turned(points: np.ndarray, angle: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return points @ matrix.T + shift


def test_a_similarity_is_found_again_though_points_are_missing() -> None:
    source, target = shape(6) @ PLANE, turned(shape(6), 0.4, 1.7, (30, -12)) @ PLANE
    source[2] = target[4] = NAN
    factor, shift = similarity(source, target)
    expected = turned(shape(6), 0.4, 1.7, (30, -12)) @ PLANE
    np.testing.assert_allclose(factor * (shape(6) @ PLANE) + shift, expected, atol=1e-9)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_common_points(count: int) -> None:
    source = np.full(4, complex(NAN, NAN))
    source[:count] = 1.0
    assert np.isnan(similarity(source, shape(4) @ PLANE)).all()
    assert np.isnan(similarity(np.ones(4, complex), shape(4) @ PLANE)).all(), "all points in one place"


def test_errors_are_turned_and_scaled_with_their_image() -> None:
    run = make_run(3, 6)
    base = shape(6)
    cases, truths = [], []
    for index, case in enumerate(run.cases):
        angle, scale = 0.3 * index, 1 + 0.5 * index
        truth = turned(base, angle, scale, (5 * index, 2))
        points = truth + turned(np.array([[2.0, 0.0]]), angle, scale, (0, 0))
        truths.append(truth)
        cases.append(replace(case, points=points))
    mean, vectors = align(cases, np.array(truths), base)
    np.testing.assert_allclose(mean, base, atol=1e-9)
    np.testing.assert_allclose(vectors, np.broadcast_to([2.0, 0.0], (3, 6, 2)), atol=1e-9)


def test_pixels_that_are_not_square() -> None:
    case = make_run(1, 6, spacing=(0.5, 1.0)).cases[0]
    # One millimetre is two columns, but one row.
    truth = shape(6) * (1.0, 0.5)
    mean, _ = align([replace(case, points=truth)], truth[None], shape(6))
    np.testing.assert_allclose(mean, shape(6), atol=1e-9)


def test_without_a_truth_the_reference_is_the_mean_shape() -> None:
    run = make_run(5, 6, kind="inference")
    _, vectors = align(run.cases, None, run.template.landmarks.points)
    np.testing.assert_allclose(vectors.mean(axis=0), 0, atol=1e-9)
