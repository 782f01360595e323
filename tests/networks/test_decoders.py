"""The decoders and log-binning against the literal method."""

import pytest
import torch

from bundle.networks import winograd
from bundle.networks.decoders import LOG_BINS, GlobalDecoder, LocalDecoder, LogBinning, NoBinning
from tests.reference.decoders import convolution_by_hand, global_features, local_features
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


def random_map(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize(
    ("old", "new"),
    [((5, 4), (23, 17)), ((4, 7), (16, 28)), ((6, 6), (7, 6)), ((1, 1), (3, 3)), ((3, 3), (1, 2)), ((9, 8), (9, 8))],
)
@torch.no_grad()
def test_global_decoder_equals_upsampling_and_then_convolution(old: tuple[int, int], new: tuple[int, int]) -> None:
    decoder = GlobalDecoder(11, 6, NoBinning()).double()
    features = random_map(2, 11, *old)
    found = decoder(features, new)
    expected = torch.stack([global_features(image, new, decoder.conv.weight, decoder.conv.bias) for image in features])
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)


@torch.no_grad()
def test_outside_the_map_the_convolution_reads_zeros() -> None:
    """The literal order, with every tap added by hand: corners see four taps, borders six."""
    decoder = GlobalDecoder(3, 2, NoBinning()).double()
    features = random_map(1, 3, 3, 2)
    upsampled = torch.nn.functional.interpolate(features, size=(7, 6), mode="bilinear")[0]
    expected = convolution_by_hand(upsampled, decoder.conv.weight, decoder.conv.bias)
    torch.testing.assert_close(decoder(features, (7, 6))[0], expected, rtol=1e-12, atol=1e-13)


def test_global_decoder_has_the_gradients_of_the_literal_order() -> None:
    decoder = GlobalDecoder(5, 3, NoBinning()).double()
    features, pull = random_map(2, 5, 4, 3), random_map(2, 3, 13, 10)
    (decoder(features, (13, 10)) * pull).sum().backward()
    found = [decoder.conv.weight.grad, decoder.conv.bias.grad]
    weight, bias = (value.detach().clone().requires_grad_() for value in (decoder.conv.weight, decoder.conv.bias))
    literal = torch.stack([global_features(image, (13, 10), weight, bias) for image in features])
    (literal * pull).sum().backward()
    torch.testing.assert_close(found, [weight.grad, bias.grad])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("old", "new"), [((4, 4), (19, 19)), ((3, 6), (17, 28)), ((1, 2), (9, 12)), ((5, 5), (11, 7))])
@torch.no_grad()
def test_local_decoder_equals_the_literal_one(old: tuple[int, int], new: tuple[int, int], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    decoder = LocalDecoder(10, 6, NoBinning())
    norm = decoder.up[1]
    for values in (norm.weight, norm.bias, norm.running_mean):
        values.copy_(torch.randn(6))
    norm.running_var.copy_(torch.rand(6) + 0.2)
    decoder.to(dtype).eval()
    features = random_map(3, 10, *old, dtype=dtype)
    state = decoder.state_dict()
    expected = torch.stack([local_features(image, new, state) for image in features])
    found = decoder(features, new)
    tolerance = 1e-4 if dtype == torch.float32 else 1e-11
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * expected.abs().max().item())


@pytest.mark.parametrize(("old", "new"), [((7, 5), (23, 17)), ((6, 6), (6, 6)), ((9, 8), (7, 31))])
@torch.no_grad()
def test_winograds_filtering_gives_the_same_maps(
    old: tuple[int, int], new: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wide and large maps take it, in single precision too."""
    monkeypatch.setattr(winograd, "LEAST_CELLS", 1)
    torch.manual_seed(0)
    whole, local = GlobalDecoder(64, 64, LogBinning()), LocalDecoder(64, 64, LogBinning()).eval()
    features = random_map(64, *old, dtype=torch.float32)
    binned = log_binned(features.double())
    state = {key: value.double() for key, value in local.state_dict().items()}
    weight, bias = whole.conv.weight.double(), whole.conv.bias.double()
    for found, expected in (
        (whole(features[None], new)[0], global_features(binned, new, weight, bias)),
        (local(features[None], new)[0], local_features(binned, new, state)),
    ):
        torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5 * expected.abs().max().item())


def test_local_decoder_has_the_gradients_of_the_plain_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "LEAST_CELLS", 1)
    torch.manual_seed(0)
    decoder = LocalDecoder(64, 64, NoBinning()).double().train()
    features, pull = random_map(2, 64, 4, 3), random_map(2, 64, 15, 12)
    found = torch.autograd.grad(decoder(features, (15, 12)), list(decoder.parameters()), pull)
    upsampled = torch.nn.functional.interpolate(decoder.up(features), size=(15, 12), mode="bilinear")
    expected = torch.autograd.grad(decoder.conv(upsampled), list(decoder.parameters()), pull)
    torch.testing.assert_close(found, expected)
