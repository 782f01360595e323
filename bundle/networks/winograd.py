"""Winograd's minimal filtering: the same convolution with a fraction of the multiplications.

A tile of 4 x 4 outputs of an r x r convolution is a bilinear form of n x n inputs, n = 4 + r - 1, that needs n * n
products a pair of channels instead of 16 r * r: 64 instead of 400 for the local decoder's 5 x 5, 36 instead of 144 for
3 x 3. The products are matrix products over the channels, so they run at the full speed of the library's. Source:
Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016; the matrices are those of Toom and Cook.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

#: Outputs of a tile along each axis.
TILE = 4

#: Where the polynomials are evaluated, beside infinity: small numbers, which keep the rounding errors small.
_POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)

#: Tiles that are worked on at a time: their transforms fit into the processor's last cache.
_TILES_AT_A_TIME = 224

KERNELS = (3, 5)


class Transforms(NamedTuple):
    """The three matrices of one kernel size: ``output((kernel(g)) * (input(d)))``.

    Attributes:
        output: (TILE, n).
        kernel: (n, r).
        input: (n, n).
    """

    output: Tensor
    kernel: Tensor
    input: Tensor


@lru_cache(maxsize=8)
def transforms(kernel: int, dtype: torch.dtype) -> Transforms:
    """The matrices for kernels of ``kernel`` x ``kernel``, 3 or 5."""
    n = TILE + kernel - 1
    points = torch.tensor(_POINTS[: n - 1], dtype=torch.float64)

    def powers(count: int) -> Tensor:
        finite = points[:, None] ** torch.arange(count)
        infinite = torch.zeros(1, count, dtype=torch.float64)
        infinite[0, -1] = 1.0
        return torch.cat([finite, infinite])

    of_input = torch.linalg.inv(powers(n)).T
    of_kernel = powers(kernel)
    # Rows of equal weight on both sides of the product: measured to give the smallest errors.
    balance = (of_kernel.abs().sum(dim=1) / of_input.abs().sum(dim=1)).sqrt()[:, None]
    matrices = powers(TILE).T, of_kernel / balance, of_input * balance
    return Transforms(*(matrix.contiguous().to(dtype) for matrix in matrices))


def winograd_conv2d(inputs: Tensor, weight: Tensor, padding: int = 0) -> Tensor:
    """A convolution of stride 1; differentiable once in both tensors.

    Args:
        inputs: (B, C, H, W), fastest where the channels are last in memory.
        weight: (O, C, r, r), r = 3 or 5.
        padding: zeros around the inputs.

    Returns:
        tensor of shape (B, O, H + 2 padding - r + 1, W + 2 padding - r + 1), channels last in memory.
    """
    return _WinogradConv2d.apply(inputs, weight, padding)


class _WinogradConv2d(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, padding: int) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.padding = padding
        matrices = transforms(weight.shape[-1], inputs.dtype)
        kernel = _transformed_kernel(weight, matrices)
        rows, columns = (side + 2 * padding - weight.shape[-1] + 1 for side in inputs.shape[-2:])
        strips = _Strips(inputs, matrices, padding)
        result = inputs.new_empty(len(inputs), strips.rows * TILE, strips.columns * TILE, len(weight))
        for strip in strips:
            products = torch.bmm(strips.transformed(strip), kernel)
            tiles = strips.tiles_of(result, strip, (TILE, TILE))
            tiles.copy_(_both_sides(matrices.output, products).view(tiles.shape))
        return result[:, :rows, :columns].permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (gradient,) = gradients
        inputs, weight = ctx.saved_tensors
        padding: int = ctx.padding
        matrices = transforms(weight.shape[-1], inputs.dtype)
        n = len(matrices.input)
        kernel = _transformed_kernel(weight, matrices).transpose(1, 2)
        of_kernel = inputs.new_zeros(n * n, weight.shape[1], weight.shape[0])
        strips = _Strips(inputs, matrices, padding)
        padded = inputs.new_zeros(len(inputs), strips.rows * TILE, strips.columns * TILE, len(weight))
        padded[:, : gradient.shape[-2], : gradient.shape[-1]] = gradient.permute(0, 2, 3, 1)
        of_inputs = torch.zeros_like(strips.padded) if ctx.needs_input_grad[0] else None
        for strip in strips:
            tiles = strips.tiles_of(padded, strip, (TILE, TILE)).reshape(TILE, TILE, -1)
            pulled = _both_sides(matrices.output.T, tiles).view(n * n, -1, len(weight))
            if ctx.needs_input_grad[1]:
                of_kernel.baddbmm_(strips.transformed(strip).transpose(1, 2), pulled)
            if of_inputs is not None:
                spread = _both_sides(matrices.input.T, torch.bmm(pulled, kernel))
                strips.add_tiles(of_inputs, strip, spread)
        if of_inputs is not None:
            height, width = inputs.shape[-2:]
            of_inputs = of_inputs[:, padding : padding + height, padding : padding + width].permute(0, 3, 1, 2)
        return of_inputs, _kernel_gradient(of_kernel, weight, matrices) if ctx.needs_input_grad[1] else None, None


class _Strip(NamedTuple):
    """A part of the work: some rows of tiles of one image, or all tiles of some small images."""

    images: slice
    rows: slice


class _Strips:
    """A batch of images in strips, with its padding and with zeros up to whole tiles.

    Attributes:
        padded: (B, H', W', C).
        rows: rows of tiles of an image.
        columns: tiles in a row.
    """

    def __init__(self, images: Tensor, matrices: Transforms, padding: int) -> None:
        n, kernel = matrices.kernel.shape
        batch, channels, height, width = images.shape
        self.rows, self.columns = (-(-(side + 2 * padding - kernel + 1) // TILE) for side in (height, width))
        self.padded = images.new_zeros(batch, self.rows * TILE + n - TILE, self.columns * TILE + n - TILE, channels)
        self.padded[:, padding : padding + height, padding : padding + width] = images.permute(0, 2, 3, 1)
        self._matrices = matrices

    def __iter__(self) -> Iterator[_Strip]:
        batch = len(self.padded)
        together = max(1, _TILES_AT_A_TIME // (self.rows * self.columns))
        step = min(self.rows, max(1, _TILES_AT_A_TIME // self.columns))
        for image in range(0, batch, together):
            for row in range(0, self.rows, step):
                yield _Strip(slice(image, min(image + together, batch)), slice(row, min(row + step, self.rows)))

    def transformed(self, strip: _Strip) -> Tensor:
        """The inputs of a strip's tiles, transformed: (n * n, tiles, C)."""
        n, channels = len(self._matrices.input), self.padded.shape[-1]
        tiles = self.tiles_of(self.padded, strip, (n, n)).reshape(n, n, -1)
        return _both_sides(self._matrices.input, tiles).view(n * n, -1, channels)

    def tiles_of(self, images: Tensor, strip: _Strip, size: tuple[int, int], top: int = 0, left: int = 0) -> Tensor:
        """A view of a strip of images (B, H, W, C) as (*size, images, rows, columns, C); large tiles overlap."""
        of_image, along_y, along_x, _ = images.stride()
        return images.as_strided(
            (*size, _length(strip.images), _length(strip.rows), self.columns, images.shape[-1]),
            (along_y, along_x, of_image, TILE * along_y, TILE * along_x, 1),
            strip.images.start * of_image + (strip.rows.start * TILE + top) * along_y + left * along_x,
        )

    def add_tiles(self, images: Tensor, strip: _Strip, tiles: Tensor) -> None:
        """Add overlapping tiles (n, n, X) to images in place: parts of TILE cells a side do not overlap each other."""
        n = len(tiles)
        for top in range(0, n, TILE):
            for left in range(0, n, TILE):
                part = tiles[top : top + TILE, left : left + TILE]
                place = self.tiles_of(images, strip, (part.shape[0], part.shape[1]), top, left)
                place.add_(part.reshape(place.shape))


def _length(part: slice) -> int:
    return part.stop - part.start


def _both_sides(matrix: Tensor, tiles: Tensor) -> Tensor:
    """``matrix @ tile @ matrix.T`` for all tiles: (n, n, X) or (n * n, ...) -> (m, m, X)."""
    m, n = matrix.shape
    rows = torch.mm(matrix, tiles.reshape(n, -1)).view(m, n, -1)
    return torch.bmm(matrix.expand(m, m, n), rows)


def _transformed_kernel(weight: Tensor, matrices: Transforms) -> Tensor:
    """(O, C, r, r) -> (n * n, C, O)."""
    out_channels, channels, kernel, _ = weight.shape
    tiles = weight.detach().permute(2, 3, 1, 0).reshape(kernel, kernel, -1)
    return _both_sides(matrices.kernel, tiles).view(-1, channels, out_channels)


def _kernel_gradient(gradient: Tensor, weight: Tensor, matrices: Transforms) -> Tensor:
    """(n * n, C, O) -> (O, C, r, r)."""
    out_channels, channels, kernel, _ = weight.shape
    tiles = _both_sides(matrices.kernel.T, gradient)
    return tiles.view(kernel, kernel, channels, out_channels).permute(3, 2, 0, 1)
