"""Convolutions of the paper's local decoder and log-binned layers on CPUs, with a fraction of the multiplications.

Winograd's minimal filtering: m x m outputs of an r x r convolution are a bilinear form of n x n inputs, n = m + r - 1,
that needs n * n products per pair of channels instead of m * m * r * r: 64 instead of 400 for 4 x 4 outputs of 5 x 5,
49 instead of 225 for 5 x 5 of 3 x 3. The products are matrix products over the channels. Source: Lavin and Gray, "Fast
Algorithms for Convolutional Neural Networks", CVPR 2016; the matrices are those of Toom and Cook.
"""

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

#: From here on it measures better on CPUs; below, its transforms cost what it saves.
LEAST_CHANNELS = 64
LEAST_CELLS = 10_000

#: Outputs of a tile along one axis, by the kernel's side: what serves a map best is chosen among them. Larger tiles
#: multiply less and round more: in single precision these err by 2e-6 to 4e-6 of the result's size, the rough by 3e-5.
TILES = {3: (4, 5, 6), 5: (4,)}
ROUGH_TILES = {3: (4, 5, 6), 5: (4, 5, 6, 7)}

#: Where the polynomials are evaluated, beside infinity, by the inputs of a tile; for 9 to 11 inputs these rounded least
#: of some hundred sets of pairs that were tried.
_POINTS = {
    6: (0.0, 1.0, -1.0, 2.0, -2.0),
    7: (0.0, 1.0, -1.0, 2.0, -2.0, 0.5),
    8: (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5),
    9: (1.0, -1.0, 2.5, -2.5, 0.25, -0.25, 2 / 3, -2 / 3),
    10: (0.0, 0.375, -0.375, 0.75, -0.75, 4 / 3, -4 / 3, 2.5, -2.5),
    11: (0.2, -0.2, 0.5625, -0.5625, 0.9, -0.9, 4 / 3, -4 / 3, 2.5, -2.5),
}

#: Tiles that are worked on at a time, at least: little memory in inference, products at full speed in training.
_TILES_AT_A_TIME = 224
_ROUGH_TILES_AT_A_TIME = 448


def convolve(inputs: Tensor, weight: Tensor, bias: Tensor | None = None, padding: int = 0, dilation: int = 1) -> Tensor:
    """A convolution of stride 1: :func:`torch.nn.functional.conv2d` up to rounding, by the cheaper of two algorithms.

    Args:
        inputs: (B, C, H, W).
        weight: (O, C, r, r).
        bias: (O,), or None.
        padding: zeros around the inputs.
        dilation: cells from one tap of the kernel to the next.

    Returns:
        tensor of shape (B, O, H + 2 padding - dilation (r - 1), W + 2 padding - dilation (r - 1)).
    """
    if not _pays(inputs, weight):
        return F.conv2d(inputs, weight, bias, padding=padding, dilation=dilation)
    # Where the kernel learns, an error of 3e-5 is nothing beside the noise of its gradient; matching has no such noise.
    rough = torch.is_grad_enabled() and weight.requires_grad
    return winograd_conv2d(inputs, weight, bias, padding, dilation, rough)


def _pays(inputs: Tensor, weight: Tensor) -> bool:
    """On a CPU, in full precision, on enough numbers; an exported graph keeps the plain operation."""
    return (
        inputs.device.type == "cpu"
        and inputs.dtype in (torch.float32, torch.float64)
        and weight.shape[-1] == weight.shape[-2]
        and weight.shape[-1] in TILES
        and min(weight.shape[:2]) >= LEAST_CHANNELS
        and inputs.numel() >= LEAST_CELLS * inputs.shape[1]
        and not torch.is_autocast_enabled("cpu")
        and not torch.jit.is_tracing()
        and not torch.compiler.is_compiling()
    )


def winograd_conv2d(
    inputs: Tensor, weight: Tensor, bias: Tensor | None = None, padding: int = 0, dilation: int = 1, rough: bool = False
) -> Tensor:
    """What :func:`convolve` gives, channels last in memory; differentiable once; ``rough`` takes ROUGH_TILES.

    Fastest where the inputs' channels are last in memory and the weight is (r, r, C, O) there; r is 3 or 5.
    """
    if dilation > 1 and padding:
        inputs, padding = F.pad(inputs, (padding,) * 4), 0
    return _WinogradConv2d.apply(inputs, weight, bias, padding, dilation, rough)


class _WinogradConv2d(torch.autograd.Function):
    # With gaps of d cells it is d * d convolutions without gaps, of every d-th row and column each.

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, *settings: Any) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        padding, gap, rough = ctx.settings = settings
        result = _filtered(_phases(inputs, gap), weight, bias, padding, rough)
        lost = gap * (weight.shape[-1] - 1) - 2 * padding
        return _whole(result, gap, inputs.shape[-2] - lost, inputs.shape[-1] - lost)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,), (inputs, weight), (padding, gap, rough) = gradients, ctx.saved_tensors, ctx.settings
        pulls, of_inputs, of_weight = _phases(gradient, gap), None, None
        if ctx.needs_input_grad[0]:  # the gradient's convolution with the kernel turned round
            turned = weight.flip(2, 3).transpose(0, 1)
            result = _filtered(pulls, turned, None, weight.shape[-1] - 1 - padding, rough)
            of_inputs = _whole(result, gap, *inputs.shape[-2:])
        if ctx.needs_input_grad[1]:
            of_weight = _weight_gradient(_phases(inputs, gap), weight, pulls, padding, rough)
        return of_inputs, of_weight, gradient.sum(dim=(0, 2, 3)) if ctx.needs_input_grad[2] else None, None, None, None


def _phases(images: Tensor, gap: int) -> Tensor:
    """Every d-th row and column as an image, zeros up to equal sizes: (B, C, H, W) -> (B * d * d, h, w, C)."""
    images = images.permute(0, 2, 3, 1)
    if gap == 1:
        return images
    padded = F.pad(images, (0, 0, 0, -images.shape[2] % gap, 0, -images.shape[1] % gap))
    return padded.unflatten(2, (-1, gap)).unflatten(1, (-1, gap)).permute(0, 2, 4, 1, 3, 5).flatten(0, 2)


def _whole(phases: Tensor, gap: int, height: int, width: int) -> Tensor:
    """What :func:`_phases` took apart, cut to a size: (B * d * d, h, w, C) -> (B, C, H, W)."""
    if gap > 1:
        phases = phases.unflatten(0, (-1, gap, gap)).permute(0, 3, 1, 4, 2, 5).flatten(3, 4).flatten(1, 2)
    return phases[:, :height, :width].permute(0, 3, 1, 2)


def _filtered(images: Tensor, weight: Tensor, bias: Tensor | None, padding: int, rough: bool) -> Tensor:
    """The convolution without gaps: (B, H, W, C) -> (B, H', W', O)."""
    tiles, channels = _Tiles(images, weight, padding, rough), len(weight)
    taps = weight.detach().permute(2, 3, 1, 0)  # (r, r, C, O)
    kernel = weight.new_empty(tiles.products, *taps.shape[2:])
    tiles.both_sides(tiles.y.kernel, tiles.x.kernel, taps, kernel)
    result = images.new_empty(len(images), tiles.y.outputs, tiles.x.outputs, channels)
    for strip in tiles.strips():
        seen = tiles.transformed_inputs(images, strip)
        products = torch.bmm(seen, kernel, out=tiles.room("tiles", *seen.shape[:2], channels))
        tiles.write_outputs(result, strip, products, bias)
    return result


def _weight_gradient(images: Tensor, weight: Tensor, pulls: Tensor, padding: int, rough: bool) -> Tensor:
    """(O, C, r, r), (r, r, C, O) in memory."""
    tiles = _Tiles(images, weight, padding, rough)
    products = images.new_zeros(tiles.products, weight.shape[1], weight.shape[0])
    for strip in tiles.strips():
        pulled = tiles.transformed_gradient(pulls, strip)
        products.baddbmm_(tiles.transformed_inputs(images, strip).transpose(1, 2), pulled)
    result = weight.new_empty(*weight.shape[2:], weight.shape[1], weight.shape[0])
    return tiles.both_sides(tiles.y.kernel.T, tiles.x.kernel.T, products, result).permute(3, 2, 0, 1)


class _Axis(NamedTuple):
    """Tiles along one axis, and the matrices of ``output((kernel(g)) * (input(d)))``: (m, n), (n, r) and (n, n)."""

    tile: int  # outputs of a tile, m
    tiles: int
    outputs: int
    before: int  # zeros before the image
    reach: int  # inputs of a tile, n
    output: Tensor
    kernel: Tensor
    input: Tensor


def _axis(inputs: int, kernel: int, padding: int, sizes: tuple[int, ...], dtype: torch.dtype) -> _Axis:
    """The tiles that need the fewest products."""
    outputs = inputs + 2 * padding - kernel + 1
    tile = min(sizes, key=lambda side: -(-outputs // side) * (side + kernel - 1))
    return _Axis(tile, -(-outputs // tile), outputs, padding, tile + kernel - 1, *transforms(kernel, tile, dtype))


@lru_cache(maxsize=16)
def transforms(kernel: int, tile: int, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """The matrices of :class:`_Axis` for a kernel's side and one of its tiles."""
    n = tile + kernel - 1
    points = torch.tensor(_POINTS[n], dtype=torch.float64)

    def powers(count: int) -> Tensor:
        infinite = torch.zeros(1, count, dtype=torch.float64)
        infinite[0, -1] = 1.0
        return torch.cat([points[:, None] ** torch.arange(count), infinite])

    of_input, of_kernel = torch.linalg.inv(powers(n)).T, powers(kernel)
    # Rows of equal weight on both sides of the product: measured to give the smallest errors.
    balance = (of_kernel.abs().sum(dim=1) / of_input.abs().sum(dim=1)).sqrt()[:, None]
    return tuple(one.contiguous().to(dtype) for one in (powers(tile).T, of_kernel / balance, of_input * balance))


#: Images, and rows of their tiles: some rows of one image, or all of some small images.
Strip = tuple[slice, slice]


class _Tiles:
    """A batch of images in strips of tiles; padding is put around one strip at a time, which the CPU's cache holds."""

    def __init__(self, images: Tensor, weight: Tensor, padding: int, rough: bool) -> None:
        kernel, dtype = weight.shape[-1], images.dtype
        sizes = (ROUGH_TILES if rough else TILES)[kernel]
        self.y, self.x = (_axis(side, kernel, padding, sizes, dtype) for side in images.shape[1:3])
        self.products = self.y.reach * self.x.reach  # of a tile
        self._batch, self._like, self._memory = len(images), images, dict[str, Tensor]()
        # A strip's transforms outweigh those of the kernel, which every strip reads again.
        at_least = _ROUGH_TILES_AT_A_TIME if rough else _TILES_AT_A_TIME
        self._at_a_time = max(at_least, 2 * weight.shape[0] * weight.shape[1] // sum(weight.shape[:2]))

    def room(self, name: str, *shape: int) -> Tensor:
        """Memory that the strips use one after the other: new memory costs more than what is written to it."""
        size = math.prod(shape)
        if name not in self._memory or self._memory[name].numel() < size:
            self._memory[name] = self._like.new_empty(size)
        return self._memory[name][:size].view(shape)

    def strips(self) -> Iterator[Strip]:
        """All of them, from top to bottom."""
        together = _equal_parts(self._batch, self._at_a_time // (self.y.tiles * self.x.tiles))
        step = _equal_parts(self.y.tiles, self._at_a_time // self.x.tiles)
        for image, row in product(range(0, self._batch, together), range(0, self.y.tiles, step)):
            yield slice(image, min(image + together, self._batch)), slice(row, min(row + step, self.y.tiles))

    def transformed_inputs(self, images: Tensor, strip: Strip) -> Tensor:
        """A strip's inputs, transformed, along y before tiles are cut (half the work): (n * n, tiles, C)."""
        y, x, channels = self.y, self.x, images.shape[-1]
        count, high = (part.stop - part.start for part in strip)
        height, width = high * y.tile + y.reach - y.tile, x.tiles * x.tile + x.reach - x.tile
        padded = self.room("image", count, height, width, channels)
        _copy_overlap(images[strip[0]], padded, strip[1].start * y.tile - y.before, -x.before)
        rows = self.room("rows", y.reach, count, high, width, channels)
        for image, row in product(range(count), range(high)):
            part = padded[image, row * y.tile : row * y.tile + y.reach]
            torch.mm(y.input, part.flatten(1), out=rows[:, image, row].flatten(1))
        tiles = rows.unfold(3, x.reach, x.tile).movedim(-1, 1)
        gathered = self.room("tiles", *tiles.shape).copy_(tiles)
        return _along_columns(x.input, gathered, self.room("inputs", self.products, count * high * x.tiles, channels))

    def write_outputs(self, result: Tensor, strip: Strip, products: Tensor, bias: Tensor | None) -> None:
        """Transform the products of a strip, (n * n, tiles, O), and write what of them lies on the result."""
        whole, tiles = self._outputs(strip, result.shape[-1])
        done = self.both_sides(self.y.output, self.x.output, products, self.room("inputs", *tiles.shape))
        tiles.copy_(done) if bias is None else torch.add(done, bias, out=tiles)
        part = result[strip[0], strip[1].start * self.y.tile :][:, : whole.shape[1]]
        part.copy_(whole[:, : part.shape[1], : part.shape[2]])

    def transformed_gradient(self, gradient: Tensor, strip: Strip) -> Tensor:
        """The gradient of a strip's outputs, transformed: (n * n, tiles, O)."""
        whole, tiles = self._outputs(strip, gradient.shape[-1])
        _copy_overlap(gradient[strip[0]], whole, strip[1].start * self.y.tile, 0)
        gathered = self.room("tiles", *tiles.shape).copy_(tiles)
        result = self.room("gradient", self.products, tiles[0, 0, ..., 0].numel(), gradient.shape[-1])
        return self.both_sides(self.y.output.T, self.x.output.T, gathered, result)

    def _outputs(self, strip: Strip, channels: int) -> tuple[Tensor, Tensor]:
        """Room for a strip's outputs: (images, rows, columns, O), and the same as (m, m, images, tiles, tiles, O)."""
        y, x = self.y, self.x
        count, high = (part.stop - part.start for part in strip)
        whole = self.room("image", count, high * y.tile, x.tiles * x.tile, channels)
        return whole, whole.view(count, high, y.tile, x.tiles, x.tile, channels).permute(2, 4, 0, 1, 3, 5)

    def both_sides(self, by_row: Tensor, by_column: Tensor, tiles: Tensor, result: Tensor) -> Tensor:
        """``by_row @ tile @ by_column.T``: (n, n', X) in any shape -> (m, m', X) in the result's shape."""
        (m, n), n_ = by_row.shape, by_column.shape[1]
        rows = torch.mm(by_row, tiles.reshape(n, -1), out=self.room("rows", m, tiles.numel() // n))
        return _along_columns(by_column, rows.view(m, n_, -1), result)


def _equal_parts(whole: int, largest: int) -> int:
    """The size of as few parts as there can be, of about equal size, at least 1."""
    return -(-whole // max(1, -(-whole // max(1, largest))))


def _copy_overlap(images: Tensor, room: Tensor, top: int, left: int) -> None:
    """Fill room with the images' cells from ``top``, ``left`` on, and with zeros beside the images."""
    rows, columns = room.shape[1:3]
    part = images[:, max(0, top) : max(0, top + rows), max(0, left) : max(0, left + columns)]
    above, before = max(0, -top), max(0, -left)
    inside = room[:, above : above + part.shape[1], before : before + part.shape[2]]
    if inside.shape != room.shape:
        room.zero_()
    inside.copy_(part)


def _along_columns(matrix: Tensor, tiles: Tensor, result: Tensor) -> Tensor:
    """``tile @ matrix.T`` for tiles (m, n, X) in any shape; the result is (m, m', X), in its own."""
    count, n = len(tiles), matrix.shape[1]
    torch.bmm(matrix.expand(count, *matrix.shape), tiles.view(count, n, -1), out=result.view(count, len(matrix), -1))
    return result
