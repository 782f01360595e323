from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bundle.metrics.landmark_metrics import radial_error


def literal_radial_error(y_pred: np.ndarray, y: np.ndarray, spacing: np.ndarray | None) -> np.ndarray:
    """The definition, one landmark at a time."""
    result = np.full(y.shape[:2], np.nan)
    for image in range(y.shape[0]):
        for landmark in range(y.shape[1]):
            scale = (1.0, 1.0) if spacing is None else spacing[image]
            if np.isnan(y[image, landmark]).any() or np.isnan(scale).any():
                continue
            dx = (y_pred[image, landmark, 0] - y[image, landmark, 0]) * scale[0]
            dy = (y_pred[image, landmark, 1] - y[image, landmark, 1]) * scale[1]
            result[image, landmark] = math.sqrt(dx * dx + dy * dy)
    return result


@pytest.mark.parametrize("with_spacing", [False, True])
@pytest.mark.parametrize(("images", "landmarks"), [(7, 19), (1, 5), (6, 1), (1, 1)])
def test_equals_the_definition(images: int, landmarks: int, with_spacing: bool) -> None:
    rng = np.random.default_rng(images * 100 + landmarks)
    y = rng.uniform(0, 2500, (images, landmarks, 2))
    y_pred = y + rng.normal(0, 30, y.shape)
    y[rng.random((images, landmarks)) < 0.3] = np.nan
    spacing = rng.uniform(0.05, 0.5, (images, 2)) if with_spacing else None
    if spacing is not None and images > 1:
        spacing[1] = np.nan
    found = radial_error(
        torch.from_numpy(y_pred), torch.from_numpy(y), None if spacing is None else torch.from_numpy(spacing)
    )
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), literal_radial_error(y_pred, y, spacing), rtol=1e-13)


def test_pixels_that_are_not_square() -> None:
    y_pred, y = torch.tensor([[[13.0, 20.0], [10.0, 24.0]]]), torch.tensor([[[10.0, 20.0], [10.0, 20.0]]])
    error = radial_error(y_pred, y, torch.tensor([[0.5, 2.0]]))
    torch.testing.assert_close(error, torch.tensor([[1.5, 8.0]]))


def test_missing_truth_and_unknown_spacing_are_nan_but_a_lost_landmark_is_infinitely_far() -> None:
    nan, inf = math.nan, math.inf
    y = torch.tensor([[[1.0, 1.0], [nan, nan], [nan, 1.0], [1.0, 1.0], [1.0, 1.0], [nan, nan]]])
    y_pred = torch.tensor([[[1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [nan, nan], [inf, 1.0], [nan, nan]]])
    expected = torch.tensor([[0.0, nan, nan, inf, inf, nan]])
    torch.testing.assert_close(radial_error(y_pred, y), expected, equal_nan=True)
    for spacing in ([nan, nan], [1.0, nan], [0.0, 1.0], [-1.0, 1.0], [inf, 1.0]):
        assert radial_error(y_pred, y, torch.tensor([spacing])).isnan().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64])
def test_narrow_dtypes_are_measured_in_float32(dtype: torch.dtype) -> None:
    y_pred, y = torch.full((1, 1, 2), 2048, dtype=dtype), torch.full((1, 1, 2), 1024, dtype=dtype)
    error = radial_error(y_pred, y)
    assert error.dtype == torch.float32
    assert error.item() == pytest.approx(1024 * math.sqrt(2))


@pytest.mark.parametrize(("y_pred", "y"), [((3, 2), (3, 2)), ((1, 3, 3), (1, 3, 3)), ((1, 3, 2), (1, 4, 2))])
def test_names_the_shape_expected(y_pred: tuple[int, ...], y: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected the same shape \(B, N, 2\), got \("):
        radial_error(torch.zeros(y_pred), torch.zeros(y))
