from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bundle.networks import winograd
from bundle.networks.winograd import LEAST_CELLS, LEAST_CHANNELS, ROUGH_TILES, TILES, convolve, winograd_conv2d
from tests.reference.decoders import convolution_by_hand

#: Whole tiles, tiles with a rest, one tile, one row, and images smaller than the kernel's reach.
SIZES = [(12, 8), (9, 13), (7, 6), (5, 5), (5, 17), (3, 2), (1, 1)]


def inputs_and_weight(
    kernel: int, size: tuple[int, int], channels: int = 3, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(kernel)
    inputs = torch.randn(2, channels, *size, dtype=dtype, generator=generator)
    return inputs, torch.randn(4, channels, kernel, kernel, dtype=dtype, generator=generator)


def assert_same(found: Tensor, expected: Tensor, arguments: Sequence[Tensor]) -> None:
    """Result and gradients."""
    torch.testing.assert_close(found, expected)
    pull = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, arguments, pull), torch.autograd.grad(expected, arguments, pull)
    )


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("size", SIZES)
def test_equals_the_convolution(kernel: int, size: tuple[int, int]) -> None:
    inputs, weight = inputs_and_weight(kernel, size)
    padding = kernel // 2
    torch.testing.assert_close(
        winograd_conv2d(inputs, weight, padding=padding), F.conv2d(inputs, weight, padding=padding)
    )
    if min(size) >= kernel:
        torch.testing.assert_close(winograd_conv2d(inputs, weight), F.conv2d(inputs, weight))


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("dilation", [2, 3])
@pytest.mark.parametrize("size", [(19, 26), (20, 17), (13, 13)])
def test_with_gaps(kernel: int, dilation: int, size: tuple[int, int]) -> None:
    """Phases of different lengths, tiles with a rest, one output."""
    inputs, weight = (value.requires_grad_() for value in inputs_and_weight(kernel, size))
    found = winograd_conv2d(inputs, weight, padding=1, dilation=dilation)
    expected = F.conv2d(inputs, weight, padding=1, dilation=dilation)
    assert_same(found, expected, (inputs, weight))


@pytest.mark.parametrize(
    ("kernel", "tile"), [(kernel, tile) for kernel, tiles in ROUGH_TILES.items() for tile in tiles]
)
def test_every_tile(kernel: int, tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TILES, kernel, (tile,))
    inputs, weight = (value.requires_grad_() for value in inputs_and_weight(kernel, (2 * tile + 5, tile + 3)))
    found, expected = winograd_conv2d(inputs, weight, padding=2), F.conv2d(inputs, weight, padding=2)
    assert_same(found, expected, (inputs, weight))


def test_equals_the_loops() -> None:
    inputs, weight = inputs_and_weight(3, (6, 9))
    expected = convolution_by_hand(inputs[0], weight, torch.zeros(4, dtype=torch.float64))
    torch.testing.assert_close(winograd_conv2d(inputs[:1], weight, padding=1)[0], expected)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("padding", [0, 2])
@pytest.mark.parametrize("size", [(6, 9), (5, 6)])
def test_gradients(kernel: int, padding: int, size: tuple[int, int]) -> None:
    arguments = [value.requires_grad_() for value in inputs_and_weight(kernel, size)]
    assert torch.autograd.gradcheck(lambda *values: winograd_conv2d(*values, padding=padding), arguments)


def test_gradient_of_the_weight_alone() -> None:
    inputs, weight = inputs_and_weight(5, (9, 9))
    weight.requires_grad_()
    (found,) = torch.autograd.grad(winograd_conv2d(inputs, weight).square().sum(), weight)
    (expected,) = torch.autograd.grad(F.conv2d(inputs, weight).square().sum(), weight)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("rough", [False, True])
@pytest.mark.parametrize(
    ("kernel", "tile"), [(kernel, tile) for kernel, tiles in ROUGH_TILES.items() for tile in tiles]
)
def test_single_precision_errs_little_more_than_the_library(
    kernel: int, tile: int, rough: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Result and gradients: up to 4e-6 with the tiles for everything, up to 3e-5 with those for training."""
    if rough:
        monkeypatch.setitem(ROUGH_TILES, kernel, (tile,))
    elif tile not in TILES[kernel]:
        pytest.skip("for training only")
    else:
        monkeypatch.setitem(TILES, kernel, (tile,))
    inputs, weight = (value.requires_grad_() for value in inputs_and_weight(kernel, (30, 41), channels=256))
    exact = F.conv2d(inputs, weight)
    pull = torch.randn_like(exact)
    expected = [exact, *torch.autograd.grad(exact, (inputs, weight), pull)]
    inputs, weight = (value.detach().float().requires_grad_() for value in (inputs, weight))
    result = winograd_conv2d(inputs, weight, rough=rough)
    found = [result, *torch.autograd.grad(result, (inputs, weight), pull.float())]
    share = 1e-4 if tile not in TILES[kernel] else 1e-5
    for one, other in zip(found, expected):
        assert (one.double() - other).norm() < share * other.norm()
        assert (one.double() - other).abs().max() < 5 * share * other.abs().max()


def test_bias() -> None:
    inputs, weight = inputs_and_weight(5, (9, 13))
    arguments = [inputs.requires_grad_(), weight.requires_grad_(), torch.randn(4, dtype=torch.float64).requires_grad_()]
    found, expected = winograd_conv2d(*arguments), F.conv2d(*arguments)
    assert_same(found, expected, arguments)


@pytest.mark.parametrize("tiles", [1, 7, 100, 1000])
@pytest.mark.parametrize("dilation", [1, 2])
def test_images_in_several_strips_and_several_images_in_one(
    tiles: int, dilation: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, weight = (value.requires_grad_() for value in inputs_and_weight(5, (33, 21)))
    monkeypatch.setattr(winograd, "_TILES_AT_A_TIME", tiles)
    found = winograd_conv2d(inputs, weight, dilation=dilation)
    expected = F.conv2d(inputs, weight, dilation=dilation)
    assert_same(found, expected, (inputs, weight))


class TestChoice:
    """By which algorithm :func:`convolve` works; the result is the same but for rounding."""

    @pytest.fixture
    def calls(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        made: list[int] = []
        monkeypatch.setattr(
            "bundle.networks.winograd.winograd_conv2d",
            lambda *arguments: made.append(1) or winograd_conv2d(*arguments),
        )
        return made

    @pytest.mark.parametrize(
        ("channels", "kernel", "columns", "expected"),
        [
            (LEAST_CHANNELS, 5, 100, 1),
            (LEAST_CHANNELS, 3, 100, 1),
            (LEAST_CHANNELS, 3, 99, 0),
            (LEAST_CHANNELS - 1, 5, 100, 0),
            (LEAST_CHANNELS, 1, 100, 0),
        ],
    )
    def test_by_size(self, calls: list[int], channels: int, kernel: int, columns: int, expected: int) -> None:
        inputs = torch.randn(2, channels, LEAST_CELLS // 200, columns, dtype=torch.float64)
        weight = torch.randn(LEAST_CHANNELS, channels, kernel, kernel, dtype=torch.float64)
        bias = torch.randn(LEAST_CHANNELS, dtype=torch.float64)
        found = convolve(inputs, weight, bias, padding=kernel // 2)
        torch.testing.assert_close(found, F.conv2d(inputs, weight, bias, padding=kernel // 2))
        assert len(calls) == expected

    @pytest.mark.parametrize("learns", [False, True])
    def test_large_tiles_only_where_the_kernel_learns(self, learns: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[bool] = []
        monkeypatch.setattr(
            "bundle.networks.winograd.winograd_conv2d",
            lambda *arguments: asked.append(arguments[-1]) or winograd_conv2d(*arguments),
        )
        inputs, weight = torch.randn(1, 64, 100, 100), torch.randn(64, 64, 5, 5, requires_grad=True)
        with torch.set_grad_enabled(learns):
            convolve(inputs, weight)
        assert asked == [learns]

    def test_reduced_precision_and_traced_graphs_keep_the_plain_operation(self, calls: list[int]) -> None:
        inputs, weight = torch.randn(1, 64, 100, 100), torch.randn(64, 64, 3, 3)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert convolve(inputs, weight).dtype == torch.bfloat16
        torch.jit.trace(lambda values: convolve(values, weight), inputs, check_trace=False)
        assert calls == []
