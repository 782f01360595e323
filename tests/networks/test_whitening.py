"""Whitening against NumPy."""

import numpy as np
import pytest
import torch

from bundle.networks.whitening import Whitening, inverse_power, total_covariance


def correlated(seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(5, 5, dtype=torch.float64, generator=generator)
    return torch.einsum("dc,bchw->bdhw", mixing, torch.randn(1, 5, 30, 20, dtype=torch.float64, generator=generator))


def test_until_fitted_only_the_mean_is_removed() -> None:
    features = torch.randn(2, 5, 6, 7)
    for level in range(3):
        found = Whitening(3, 5)(features, level)
        torch.testing.assert_close(found, features - features.mean(dim=(2, 3), keepdim=True))


def test_covariance_against_numpy() -> None:
    features = correlated()
    expected = np.cov(features[0].flatten(1).numpy(), bias=True)
    np.testing.assert_allclose(total_covariance(features).numpy(), expected)


def test_half_a_power_makes_the_covariance_the_identity() -> None:
    levels = [correlated(1), correlated(2)]
    whitening = Whitening(2, 5).double()
    whitening.fit([total_covariance(level) for level in levels], power=0.5, shrinkage=0.0)
    for index, level in enumerate(levels):
        torch.testing.assert_close(total_covariance(whitening(level, index)), torch.eye(5, dtype=torch.float64))


@pytest.mark.parametrize(("power", "shrinkage"), [(0.0, 0.0), (0.25, 0.1), (0.5, 0.5), (1.0, 0.01)])
def test_powers_of_the_shrunk_covariance_against_numpy(power: float, shrinkage: float) -> None:
    covariance = total_covariance(correlated()).numpy()
    shrunk = (1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / 5 * np.eye(5)
    values, vectors = np.linalg.eigh(shrunk)
    expected = vectors @ np.diag(values**-power) @ vectors.T
    found = inverse_power(torch.from_numpy(covariance), power, shrinkage)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


def test_a_channel_that_never_changes_stays_finite() -> None:
    features = correlated()
    features[:, 3] = 2.5
    assert inverse_power(total_covariance(features), 0.5, 0.0).isfinite().all()
