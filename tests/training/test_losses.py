"""The paper's loss and those that it is compared with, against their definitions written out."""

import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from torch import Tensor
from torch.nn import functional as F

from bundle.errors import ConfigError
from bundle.training.losses import (
    ContrastiveSimilarityLoss,
    DistanceAwareSimilarityLoss,
    OneHotSimilarityLoss,
    cosines,
)
from tests.reference.loss import distance_aware_similarity_loss, mean_squared_error

NAN = math.nan
LOSSES = [DistanceAwareSimilarityLoss(1.5), OneHotSimilarityLoss(), ContrastiveSimilarityLoss()]


def features(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sigma", [0.5, 2.0, 8.0])
@pytest.mark.parametrize("size", [(9, 7), (4, 12), (1, 5)])
def test_equals_equation_1_for_one_image(size: tuple[int, int], sigma: float) -> None:
    rows, columns = size
    landmarks = [(0, 0), (columns - 1, rows - 1), (columns // 2, rows // 2), (columns - 1, 0)]
    f = features(6, *size)
    found = DistanceAwareSimilarityLoss(sigma)(f[None], torch.tensor([landmarks], dtype=torch.float64))
    assert found.item() == pytest.approx(distance_aware_similarity_loss(f, landmarks, sigma), rel=1e-12)


def test_one_landmark_in_single_precision() -> None:
    f = features(6, 9, 7)
    found = DistanceAwareSimilarityLoss(2.0)(f[None].float(), torch.tensor([[[3.0, 4.0]]]))
    assert found.item() == pytest.approx(mean_squared_error(f, 3, 4, 2.0), rel=1e-5)


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


@pytest.mark.parametrize("loss", LOSSES)
def test_landmarks_off_the_map_and_nan_are_left_out_of_the_mean(loss: torch.nn.Module) -> None:
    """Of eight landmarks in two images three count: each with the same weight, whatever its image."""
    batch = features(2, 5, 6, 8)
    off = [(-1.0, 2.0), (8.0, 2.0), (2.0, 6.0), (NAN, NAN), (2.0, NAN)]
    cells = torch.tensor([[(1.0, 2.0), *off[:3]], [(7.0, 5.0), (0.0, 0.0), *off[3:]]], dtype=torch.float64)
    alone = [loss(batch[:1], cells[:1, :1]), loss(batch[1:], cells[1:, :1]), loss(batch[1:], cells[1:, 1:2])]
    assert loss(batch, cells).item() == pytest.approx(sum(one.item() for one in alone) / 3, rel=1e-12)


def test_cells_between_cells_go_to_the_nearest() -> None:
    f = features(1, 5, 6, 8)
    loss = DistanceAwareSimilarityLoss(1.5)
    near = loss(f, torch.tensor([[[2.4, 3.6], [-0.4, 5.4]]], dtype=torch.float64))
    assert near == loss(f, torch.tensor([[[2.0, 4.0], [0.0, 5.0]]], dtype=torch.float64))


@pytest.mark.parametrize("loss", LOSSES)
def test_no_landmark_on_the_map_is_zero_with_a_gradient(loss: torch.nn.Module) -> None:
    f = features(1, 3, 4, 4).requires_grad_()
    value = loss(f, torch.tensor([[[NAN, NAN], [9.0, 9.0]]], dtype=torch.float64))
    value.backward()
    assert value.item() == 0
    assert torch.equal(f.grad, torch.zeros_like(f))


def test_the_scale_of_the_features_does_not_matter() -> None:
    f = features(1, 5, 6, 8)
    cells = torch.tensor([[[2.0, 3.0]]], dtype=torch.float64)
    loss = DistanceAwareSimilarityLoss(2.0)
    torch.testing.assert_close(loss(f * 37.0, cells), loss(f, cells))


def test_the_gradient_is_that_of_finite_differences() -> None:
    f = features(2, 3, 4, 5, seed=3).requires_grad_()
    cells = torch.tensor([[[0.0, 0.0], [4.0, 3.0]], [[2.0, 1.0], [NAN, 1.0]]], dtype=torch.float64)
    loss = DistanceAwareSimilarityLoss(1.2)
    assert torch.autograd.gradcheck(lambda values: loss(values, cells), (f,), atol=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_step_against_the_gradient_lowers_it(loss: torch.nn.Module) -> None:
    f = features(1, 8, 6, 6).requires_grad_()
    cells = torch.tensor([[[2.0, 3.0], [5.0, 0.0]]], dtype=torch.float64)
    before = loss(f, cells)
    (gradient,) = torch.autograd.grad(before, f)
    assert loss(f - 0.05 * gradient / gradient.norm(), cells) < before


@pytest.mark.parametrize("sigma", [0.0, -1.0, NAN])
def test_a_sigma_that_is_not_positive_is_refused(sigma: float) -> None:
    with pytest.raises(ConfigError, match="sigma"):
        DistanceAwareSimilarityLoss(sigma)


@pytest.mark.parametrize("temperature", [0.0, -1.0, NAN])
def test_refuses_a_temperature_that_is_not_positive(temperature: float) -> None:
    with pytest.raises(ConfigError, match="temperature is"):
        ContrastiveSimilarityLoss(temperature)


def map_and_cells(dtype: torch.dtype = torch.float64, last: bool = False) -> tuple[Tensor, Tensor]:
    """Maps, and cells of which two are the same one."""
    features = torch.randn(2, 5, 4, 6, dtype=dtype, generator=torch.Generator().manual_seed(0))
    own = torch.tensor([[0, 23, 7], [11, 11, 3]])
    return features.contiguous(memory_format=torch.channels_last) if last else features, own


def plain(features: Tensor, own: Tensor) -> Tensor:
    """The same by the library: lengths of one first, products then."""
    units = F.normalize(features.flatten(2), dim=1)
    return torch.bmm(units.gather(2, own[:, None].expand(-1, features.shape[1], -1)).transpose(1, 2), units)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_cosines_equal_normalising_the_map_first(dtype: torch.dtype, last: bool) -> None:
    features, own = map_and_cells(dtype, last)
    features.requires_grad_()
    found, expected = cosines(features, own), plain(features, own)
    torch.testing.assert_close(found, expected)
    pull = torch.randn_like(expected)
    (of_found,) = torch.autograd.grad(found, features, pull)
    torch.testing.assert_close(of_found, torch.autograd.grad(expected, features, pull)[0])
    assert of_found.stride() == features.stride()


def test_gradient_of_cosines_is_that_of_finite_differences() -> None:
    features, own = map_and_cells()
    assert torch.autograd.gradcheck(lambda values: cosines(values, own), features.requires_grad_())


def test_cosines_of_part_of_a_larger_map() -> None:
    """Decoded maps may have gaps in memory."""
    whole = torch.randn(2, 8, 9, 5, dtype=torch.float64).requires_grad_()
    own = torch.tensor([[3], [20]])
    part = whole[:, :7, :6].permute(0, 3, 1, 2)
    (found,) = torch.autograd.grad(cosines(part, own).square().sum(), whole)
    (expected,) = torch.autograd.grad(plain(part, own).square().sum(), whole)
    torch.testing.assert_close(found, expected)


def test_cells_without_a_length() -> None:
    """A vector of zeros resembles nothing, and pulls and is pulled without numbers that are none."""
    features, own = map_and_cells()
    features[0, :, 0, 0] = 0.0
    features[1, :, 3, 2] = 0.0
    features.requires_grad_()
    found = cosines(features, own)
    assert torch.count_nonzero(found[0, 0]) == 0
    assert torch.count_nonzero(found[1, :, 20]) == 0
    found.sum().backward()
    assert features.grad is not None and torch.isfinite(features.grad).all()
