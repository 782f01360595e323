"""The two losses that the paper compares its own with, against their definitions written out."""

import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from bundle.errors import ConfigError
from bundle.training.losses import ContrastiveSimilarityLoss, OneHotSimilarityLoss

NAN = math.nan
BOTH = [OneHotSimilarityLoss(), ContrastiveSimilarityLoss()]


def features(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def similarity(f: torch.Tensor, x: int, y: int) -> np.ndarray:
    """The cosine of one position with all others, one at a time."""
    a = f.numpy()
    own = a[:, y, x]
    return np.array(
        [
            [own @ a[:, r, c] / np.linalg.norm(own) / np.linalg.norm(a[:, r, c]) for c in range(a.shape[2])]
            for r in range(a.shape[1])
        ]
    )


@pytest.mark.parametrize(("x", "y"), [(0, 0), (6, 3), (2, 1)])
def test_one_hot_equals_its_definition(x: int, y: int) -> None:
    f = features(5, 4, 7)
    target = np.zeros((4, 7))
    target[y, x] = 1
    expected = np.mean((similarity(f, x, y) - target) ** 2)
    found = OneHotSimilarityLoss()(f[None], torch.tensor([[[float(x), float(y)]]], dtype=torch.float64))
    assert found.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0])
def test_contrastive_equals_its_definition(temperature: float) -> None:
    f = features(5, 4, 7)
    s = similarity(f, 6, 3) / temperature
    found = ContrastiveSimilarityLoss(temperature)(f[None], torch.tensor([[[6.0, 3.0]]], dtype=torch.float64))
    assert found.item() == pytest.approx(logsumexp(s) - s[3, 6], rel=1e-12)


@pytest.mark.parametrize("loss", BOTH)
def test_landmarks_off_the_map_are_left_out_of_the_mean(loss: torch.nn.Module) -> None:
    batch = features(2, 5, 4, 7)
    cells = torch.tensor([[(1.0, 2.0), (-1.0, 0.0)], [(6.0, 3.0), (NAN, NAN)]], dtype=torch.float64)
    parts = [loss(batch[:1], cells[:1, :1]), loss(batch[1:], cells[1:, :1])]
    assert loss(batch, cells).item() == pytest.approx(sum(part.item() for part in parts) / 2, rel=1e-12)


@pytest.mark.parametrize("loss", BOTH)
def test_no_landmark_on_the_map_is_zero_with_a_gradient(loss: torch.nn.Module) -> None:
    f = features(1, 3, 4, 4).requires_grad_()
    value = loss(f, torch.tensor([[[NAN, NAN], [9.0, 9.0]]], dtype=torch.float64))
    value.backward()
    assert value.item() == 0
    assert torch.equal(f.grad, torch.zeros_like(f))


@pytest.mark.parametrize("loss", BOTH)
def test_a_step_against_the_gradient_lowers_it(loss: torch.nn.Module) -> None:
    f = features(1, 8, 6, 6).requires_grad_()
    cells = torch.tensor([[[2.0, 3.0], [5.0, 0.0]]], dtype=torch.float64)
    before = loss(f, cells)
    (gradient,) = torch.autograd.grad(before, f)
    assert loss(f - 0.05 * gradient / gradient.norm(), cells) < before


@pytest.mark.parametrize("temperature", [0.0, -1.0, NAN])
def test_refuses_a_temperature_that_is_not_positive(temperature: float) -> None:
    with pytest.raises(ConfigError, match="temperature is"):
        ContrastiveSimilarityLoss(temperature)
