"""The distribution of layouts against scipy and the textbook's conditional Gaussian."""

import numpy as np
import pytest
import scipy.spatial
import torch

from bundle.matching import shape_prior
from bundle.matching.shape_prior import ShapePrior, procrustes_mean

COUNT = 9


def layouts(number: int, seed: int = 0, noise: float = 12.0) -> list[torch.Tensor]:
    """Layouts of one shape in poses of their own."""
    generator = np.random.default_rng(seed)
    shape = generator.uniform(0, 1000, (COUNT, 2))
    found = []
    for _ in range(number):
        angle, size = generator.uniform(-0.3, 0.3), generator.uniform(0.7, 1.4)
        turn = size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        moved = (shape + generator.normal(0, noise, shape.shape)) @ turn.T + generator.uniform(-200, 200, 2)
        found.append(torch.from_numpy(moved))
    return found


def test_two_layouts_are_aligned_as_scipy_aligns_them() -> None:
    one, other = layouts(2)
    mean, residuals = procrustes_mean(torch.stack([one, other]))
    _, _, disparity = scipy.spatial.procrustes(one.numpy(), other.numpy())
    # What scipy leaves between the two, as a share, is what lies between the aligned ones.
    aligned = mean + residuals
    normed = (aligned - aligned.mean(dim=1, keepdim=True)).flatten(1)
    normed = normed / normed.norm(dim=1, keepdim=True)
    assert 1 - float(normed[0] @ normed[1]) ** 2 == pytest.approx(disparity, rel=1e-3)


def test_one_layout_has_no_residual() -> None:
    mean, residuals = procrustes_mean(torch.stack(layouts(1)))
    torch.testing.assert_close(mean, layouts(1)[0] - layouts(1)[0].mean(dim=0))
    assert residuals.abs().max() < 1e-9


def test_each_place_is_the_conditional_on_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """One round with equal weights, against the blocks of the joint covariance."""
    monkeypatch.setattr(shape_prior, "ROUNDS", 1)
    prior = ShapePrior.fit(layouts(4))
    points = layouts(1, seed=0, noise=0)[0] + torch.randn(COUNT, 2, dtype=torch.float64)
    expected, covariance = prior.expect(points)
    fitted, factor = shape_prior._robust_similarity(prior.mean, points, 0.005 * prior.extent)
    noise = (shape_prior.FOUND * prior.extent * factor) ** 2
    joint = factor**2 * prior.covariance.numpy()
    for landmark in range(COUNT):
        own = [2 * landmark, 2 * landmark + 1]
        rest = [index for index in range(2 * COUNT) if index not in own]
        seen = joint[np.ix_(rest, rest)] + noise * np.eye(len(rest))
        gain = joint[np.ix_(own, rest)] @ np.linalg.inv(seen)
        mean = fitted[landmark].numpy() + gain @ (points - fitted).numpy().ravel()[rest]
        spread = joint[np.ix_(own, own)] - gain @ joint[np.ix_(rest, own)]
        np.testing.assert_allclose(expected[landmark], mean, rtol=1e-6)
        np.testing.assert_allclose(covariance[landmark], spread, rtol=1e-4, atol=1e-4)


def test_a_wrong_point_is_expected_where_the_others_say() -> None:
    prior = ShapePrior.fit(layouts(5, noise=4.0))
    right = layouts(6, noise=4.0)[5]
    wrong = right.clone()
    wrong[3] += torch.tensor([300.0, -200.0], dtype=torch.float64)
    expected, _ = prior.expect(wrong)
    assert (expected[3] - right[3]).norm() < 40
    assert (expected - right).norm(dim=1).median() < 25, "it does not pull the others along"


def test_it_moves_with_the_points() -> None:
    prior, points = ShapePrior.fit(layouts(3)), layouts(4)[3]
    turn = 2.0 * torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
    here, spread = prior.expect(points)
    there, other = prior.expect(points @ turn.T + 50)
    # The covariance keeps its axes, so a turn is followed as far as it is alike along both.
    assert (there - (here @ turn.T + 50)).norm(dim=1).max() < 0.02 * 2 * prior.extent
    torch.testing.assert_close(
        other.diagonal(dim1=1, dim2=2).sum(1), 4 * spread.diagonal(dim1=1, dim2=2).sum(1), rtol=0.5, atol=0
    )


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_landmarks(count: int) -> None:
    few = [layout[:count] for layout in layouts(3)]
    expected, covariance = ShapePrior.fit(few).expect(few[0])
    assert torch.isfinite(expected).all() and (torch.linalg.eigvalsh(covariance) > 0).all()


def test_landmarks_in_one_place() -> None:
    same = [torch.full((3, 2), 40.0, dtype=torch.float64) for _ in range(2)]
    expected, covariance = ShapePrior.fit(same).expect(same[0])
    assert torch.isfinite(expected).all() and torch.isfinite(covariance).all()
