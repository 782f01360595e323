from __future__ import annotations

import pytest
import torch

from bundle.networks import winograd
from bundle.networks.decoders import LOG_BINS, LogBinning, NoBinning
from tests.reference.log_binning import log_binned


@pytest.mark.parametrize("size", [(4, 4), (5, 9), (13, 6), (1, 1), (2, 3), (1, 8)])
def test_equals_the_loops(size: tuple[int, int]) -> None:
    features = torch.randn(2, 3, *size)
    found = LogBinning()(features)
    assert found.shape == (2, LOG_BINS * 3, *size)
    expected = torch.stack([log_binned(image) for image in features])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_order_of_the_bins() -> None:
    """Row by row: the window of nine, then the ring of eight; each bin holds all channels."""
    columns = torch.arange(15.0).expand(15, 15)
    features = torch.stack([columns, columns.T])[None]  # each token knows its column and its row
    bins = LogBinning()(features)[0, :, 7, 7].reshape(17, 2)
    window = [[7.0 + dx, 7.0 + dy] for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    ring = [[7.0 + dx, 7.0 + dy] for dy in (-3, 0, 3) for dx in (-3, 0, 3) if (dx, dy) != (0, 0)]
    assert bins.tolist() == window + ring


@pytest.mark.parametrize("binning", [LogBinning(), NoBinning()])
@pytest.mark.parametrize("size", [(4, 4), (5, 9), (13, 6), (1, 1), (2, 3), (1, 8)])
def test_a_matrix_on_the_bins_without_the_bins(size: tuple[int, int], binning: LogBinning | NoBinning) -> None:
    features = torch.randn(2, 3, *size, dtype=torch.float64)
    weight = torch.randn(5, 3 * binning.bins, dtype=torch.float64)
    expected = torch.einsum("oc,bchw->bohw", weight, binning(features))
    torch.testing.assert_close(binning.linear(features, weight), expected)


@pytest.mark.parametrize("channels", [3, 64])
def test_the_matrix_has_the_gradients_of_the_bins(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "LEAST_CELLS", 1)
    features = torch.randn(2, channels, 11, 8, dtype=torch.float64)
    weight = torch.randn(channels, 17 * channels, dtype=torch.float64, requires_grad=True)
    pull = torch.randn(2, channels, 11, 8, dtype=torch.float64)
    (found,) = torch.autograd.grad(LogBinning().linear(features, weight), weight, pull)
    explicit = torch.einsum("oc,bchw->bohw", weight, LogBinning()(features))
    (expected,) = torch.autograd.grad(explicit, weight, pull)
    torch.testing.assert_close(found, expected)
