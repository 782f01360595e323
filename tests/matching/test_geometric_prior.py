import numpy as np
import pytest
import torch
from torch import Tensor

from bundle.matching.geometric_prior import apply_affine, extent, local_correction, robust_affine, with_log_prior

LINEAR = torch.tensor([[1.05, 0.08], [-0.06, 0.92], [120.0, -75.0]], dtype=torch.float64)


def layout(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 2, dtype=torch.float64, generator=generator) * torch.tensor([1500.0, 2000.0])


def test_apply_affine_against_numpy() -> None:
    points = layout(5)
    expected = np.c_[points.numpy(), np.ones(5)] @ LINEAR.numpy()
    np.testing.assert_allclose(apply_affine(LINEAR, points).numpy(), expected)


def fit(source: Tensor, target: Tensor, ridge: float) -> Tensor:
    return robust_affine(source, target, torch.ones(len(source)), ridge=ridge, smallest=1.0)


@pytest.mark.parametrize("seed", range(5))
def test_finds_the_map_behind_thirty_per_cent_of_wrong_matches(seed: int) -> None:
    source = layout(20, seed)
    truth = apply_affine(LINEAR, source)
    target = truth.clone()
    target[:6] = layout(6, seed + 100)
    found = apply_affine(fit(source, target, 1e-4), source)
    assert (found - truth).norm(dim=1).max() < 10  # pixels, of an image of 2000


def test_matches_that_are_not_trusted_do_not_count() -> None:
    source = layout(12)
    truth = apply_affine(LINEAR, source)
    target = torch.cat([truth[:6], layout(6, 9)])
    trust = torch.tensor([1.0] * 6 + [1e-9] * 6)
    affine = robust_affine(source, target, trust, ridge=1e-9, smallest=1.0)
    torch.testing.assert_close(apply_affine(affine, source), truth, atol=0.1, rtol=0)


@pytest.mark.parametrize("ridge", [1e-9, 0.01])
def test_exact_matches_are_fitted_as_far_as_the_ridge_lets_them(ridge: float) -> None:
    source = layout(19)
    truth = apply_affine(LINEAR, source)
    error = (apply_affine(fit(source, truth, ridge), source) - truth).norm(dim=1).max()
    assert error < (1e-4 if ridge < 1e-6 else 10.0)


def test_an_undeformed_layout_is_found_under_any_ridge() -> None:
    """Scale and shift are what the ridge pulls to."""
    source = layout(8)
    target = source * 1.3 + torch.tensor([40.0, -20.0])
    for ridge in (0.01, 1.0, 100.0):
        torch.testing.assert_close(apply_affine(fit(source, target, ridge), source), target)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_landmarks_come_to_lie_on_their_matches(count: int) -> None:
    source = layout(count)
    target = source * 1.1 + torch.tensor([30.0, 10.0])
    affine = fit(source, target, 0.01)
    assert affine.shape == (3, 2)
    torch.testing.assert_close(apply_affine(affine, source), target)


@pytest.mark.parametrize("direction", [(1.0, 0.0), (0.0, 1.0), (0.6, 0.8)])
def test_landmarks_on_one_line_are_no_special_case(direction: tuple[float, float]) -> None:
    """Off the line the ridge decides: the layout keeps its scale there as well."""
    steps = torch.tensor([0.0, 100.0, 250.0, 600.0, 900.0], dtype=torch.float64)
    source = steps[:, None] * torch.tensor(direction, dtype=torch.float64) + 200.0
    target = source * 1.2 + torch.tensor([5.0, 7.0])
    affine = fit(source, target, 0.01)
    aside = source + torch.tensor([-direction[1], direction[0]], dtype=torch.float64) * 100.0
    torch.testing.assert_close(apply_affine(affine, source), target)
    torch.testing.assert_close(apply_affine(affine, aside), aside * 1.2 + torch.tensor([5.0, 7.0]))


@pytest.mark.parametrize("count", [1, 4])
def test_landmarks_at_one_place_stay_finite(count: int) -> None:
    source, target = torch.full((count, 2), 70.0), torch.full((count, 2), 90.0)
    torch.testing.assert_close(apply_affine(fit(source, target, 0.01), source), target.double())


def test_matches_far_from_everything_do_not_make_numbers_overflow() -> None:
    assert fit(layout(6), layout(6, 3) * 1e6, 0.01).isfinite().all()


def test_extent_is_the_diagonal() -> None:
    assert extent(torch.tensor([[1.0, 2.0], [4.0, 6.0], [2.0, 3.0]])) == pytest.approx(5.0)
    assert extent(torch.tensor([[7.0, 7.0]])) == 0.0


def correction_by_hand(source: np.ndarray, moved: np.ndarray, trust: np.ndarray, reach: float) -> np.ndarray:
    """Each landmark's neighbours fitted by one similarity, as sums over complex numbers (rigidity 0.1, damping 0.3)."""
    result = np.zeros(len(source), dtype=complex)
    for own in range(len(source)):
        others = [other for other in range(len(source)) if other != own]
        weight = {o: trust[o] * np.exp(-(abs(source[o] - source[own]) ** 2) / (2 * reach**2)) for o in others}
        total = sum(weight.values())
        centre = sum(weight[o] * source[o] for o in others) / (total + 1e-9)
        shift = sum(weight[o] * moved[o] for o in others) / (total + 0.3)
        top = sum(weight[o] * np.conj(source[o] - centre) * (moved[o] - shift) for o in others)
        bottom = sum(weight[o] * abs(source[o] - centre) ** 2 for o in others) + 0.1 * reach**2
        result[own] = shift + top / bottom * (source[own] - centre)
    return result


@pytest.mark.parametrize("count", [1, 2, 3, 12])
def test_local_correction_equals_the_sums_by_hand(count: int) -> None:
    source, moved = layout(count, 1), layout(count, 2) / 50
    trust = torch.rand(count, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) + 0.1
    found = local_correction(source, moved, trust, reach=300.0, rigidity=0.1, damping=0.3)
    as_complex = [np.asarray(points) @ np.array([1, 1j]) for points in (source, moved)]
    expected = correction_by_hand(*as_complex, trust.numpy(), 300.0)
    np.testing.assert_allclose(found.numpy() @ np.array([1, 1j]), expected, rtol=1e-9, atol=1e-9)


def test_a_landmark_does_not_vouch_for_itself() -> None:
    source, moved, trust = layout(6), torch.zeros(6, 2), torch.ones(6)
    moved[2] = torch.tensor([500.0, 300.0])
    found = local_correction(source, moved, trust, reach=300.0, rigidity=0.1, damping=0.3)
    assert found[2].abs().max() == 0
    assert found[[0, 1, 3, 4, 5]].abs().max() > 0
    alone = local_correction(source[:1], moved[2:3], trust[:1], reach=300.0, rigidity=0.1, damping=0.3)
    assert alone.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("grid", [(12, 9), (1, 1), (5, 30)])
def test_log_prior_against_numpy(grid: tuple[int, int]) -> None:
    expected_places = np.array([[3.2, 4.7], [-5.0, 40.0], [0.0, 0.0]])
    scores = torch.rand(3, *grid)
    found = with_log_prior(scores, torch.from_numpy(expected_places), sigma=2.5, weight=0.3) - scores - 4 * 0.3
    ys, xs = np.mgrid[: grid[0], : grid[1]]
    for index, (x, y) in enumerate(expected_places):
        squared = ((xs - x) ** 2 + (ys - y) ** 2) / 2.5**2
        np.testing.assert_allclose(found[index].numpy(), -0.3 * squared / (1 + squared / 4), rtol=1e-5, atol=1e-6)


def test_log_prior_is_quadratic_nearby_and_bounded_far_away() -> None:
    scores = torch.zeros(1, 11, 1001)
    found = with_log_prior(scores, torch.tensor([[5.0, 5.0]]), sigma=30.0, weight=0.1) - 4 * 0.1
    assert found[0, 5, 5].item() == pytest.approx(0, abs=1e-7)
    assert found[0, 5, 8].item() == pytest.approx(-0.1 * 0.1**2, rel=1e-2)
    assert found[0, 5, 65].item() == pytest.approx(-0.1 * 2**2 / 2, rel=1e-5)
    assert -0.4 < found[0, 5, 1000].item() < -0.39
    assert with_log_prior(scores, torch.tensor([[5.0, 5.0]]), sigma=3.0, weight=0.0).abs().max() == 0
