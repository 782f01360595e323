import math

import pytest
import torch

from bundle.errors import ConfigError
from bundle.training.losses import DistanceAwareSimilarityLoss
from tests.reference.loss import distance_aware_similarity_loss, mean_squared_error

NAN = math.nan


def features(*shape: int, seed: int = 0) -> torch.Tensor:
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


def test_landmarks_off_the_map_and_nan_are_left_out_of_the_mean() -> None:
    """Of eight landmarks in two images three count: each with the same weight, whatever its image."""
    batch = features(2, 5, 6, 8)
    off = [(-1.0, 2.0), (8.0, 2.0), (2.0, 6.0), (NAN, NAN), (2.0, NAN)]
    cells = torch.tensor([[(1.0, 2.0), *off[:3]], [(7.0, 5.0), (0.0, 0.0), *off[3:]]], dtype=torch.float64)
    expected = [
        mean_squared_error(batch[0], 1, 2, 1.5),
        mean_squared_error(batch[1], 7, 5, 1.5),
        mean_squared_error(batch[1], 0, 0, 1.5),
    ]
    found = DistanceAwareSimilarityLoss(1.5)(batch, cells)
    assert found.item() == pytest.approx(sum(expected) / 3, rel=1e-12)


def test_cells_between_cells_go_to_the_nearest() -> None:
    f = features(1, 5, 6, 8)
    loss = DistanceAwareSimilarityLoss(1.5)
    near = loss(f, torch.tensor([[[2.4, 3.6], [-0.4, 5.4]]], dtype=torch.float64))
    assert near == loss(f, torch.tensor([[[2.0, 4.0], [0.0, 5.0]]], dtype=torch.float64))


def test_no_landmark_on_the_map_is_zero_with_a_gradient() -> None:
    f = features(1, 3, 4, 4).requires_grad_()
    loss = DistanceAwareSimilarityLoss(1.0)(f, torch.tensor([[[NAN, NAN], [9.0, 9.0]]], dtype=torch.float64))
    loss.backward()
    assert loss.item() == 0
    assert f.grad is not None
    assert torch.count_nonzero(f.grad) == 0


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


@pytest.mark.parametrize("sigma", [0.0, -1.0, NAN])
def test_a_sigma_that_is_not_positive_is_refused(sigma: float) -> None:
    with pytest.raises(ConfigError, match="sigma"):
        DistanceAwareSimilarityLoss(sigma)
