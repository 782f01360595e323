import numpy as np
import pytest
import torch

from bundle.matching.posterior import posterior_moments


@pytest.mark.parametrize("temperature", [0.015, 0.3, 10.0])
@pytest.mark.parametrize("size", [(13, 9), (1, 6), (7, 1)])
def test_against_numpy(size: tuple[int, int], temperature: float) -> None:
    scores = np.random.default_rng(1).normal(size=(70, *size))
    found = posterior_moments(torch.from_numpy(scores), temperature)
    ys, xs = np.mgrid[: size[0], : size[1]]
    for index, score in enumerate(scores):
        weight = np.exp((score - score.max()) / temperature)
        weight /= weight.sum()
        x, y = (weight * xs).sum(), (weight * ys).sum()
        spread = np.sqrt((weight * ((xs - x) ** 2 + (ys - y) ** 2)).sum())
        np.testing.assert_allclose(found.cells[index].numpy(), [x, y], atol=1e-9)
        np.testing.assert_allclose(found.spread[index].item(), spread, atol=1e-6)


def test_a_gaussian_has_its_own_mean_and_width() -> None:
    ys, xs = torch.meshgrid(torch.arange(80.0), torch.arange(60.0), indexing="ij")
    scores = -((xs - 25.3) ** 2 + (ys - 41.6) ** 2) / (2 * 4.0**2)
    found = posterior_moments(scores[None], 1.0)
    torch.testing.assert_close(found.cells, torch.tensor([[25.3, 41.6]]), atol=1e-3, rtol=0)
    assert found.spread.item() == pytest.approx(4.0 * 2**0.5, rel=1e-3)


def test_one_place_far_above_all_others_is_a_point_without_width() -> None:
    scores = torch.zeros(1, 9, 9)
    scores[0, 3, 7] = 1e4
    found = posterior_moments(scores, 0.015)
    assert found.cells.tolist() == [[7.0, 3.0]]
    assert found.spread.item() == 0
    shifted = posterior_moments(scores + 1e5, 0.015)  # only differences of scores count
    torch.testing.assert_close(shifted.cells, found.cells)
