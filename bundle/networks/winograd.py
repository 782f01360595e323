"""Winograd's minimal filtering: the same convolution with a fraction of the multiplications.

A tile of m x m outputs of an r x r convolution is a bilinear form of n x n inputs, n = m + r - 1, that needs n * n
products a pair of channels instead of m * m * r * r: 64 instead of 400 for 4 x 4 outputs of the local decoder's 5 x 5,
121 instead of 1225 for 7 x 7 of them, 49 instead of 225 for 5 x 5 outputs of 3 x 3. The products are matrix products
over the channels, so they run at the full speed of the library's. Source: Lavin and Gray, "Fast Algorithms for
Convolutional Neural Networks", CVPR 2016; the matrices are those of Toom and Cook.

A convolution with gaps of d cells is d * d convolutions without gaps, of every d-th row and column each. Their tiles
are views of the same map with longer steps, so nothing is rearranged for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor

#: Outputs of a tile along one axis, by the kernel's side: what serves a map best is chosen among them. Larger tiles
#: multiply less and round more: in single precision these err by 2e-6 to 4e-6 of the result's size.
TILES = {3: (4, 5, 6), 5: (4,)}

#: Likewise where a rounding error of 3e-5 does no harm.
ROUGH_TILES = {3: (4, 5, 6), 5: (4, 5, 6, 7)}

#: Where the polynomials are evaluated, beside infinity, by the inputs of a tile: small numbers, which keep the rounding
#: errors small. For 9 to 11 inputs these were the best of some hundred sets of pairs that were tried.
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


class Transforms(NamedTuple):
    """The three matrices of one kernel size and tile along one axis: ``output((kernel(g)) * (input(d)))``.

    Attributes:
        output: (m, n).
        kernel: (n, r).
        input: (n, n).
    """

    output: Tensor
    kernel: Tensor
    input: Tensor


@lru_cache(maxsize=16)
def transforms(kernel: int, tile: int, dtype: torch.dtype) -> Transforms:
    """The matrices for a kernel's side and one of its tiles."""
    n = tile + kernel - 1
    points = torch.tensor(_POINTS[n], dtype=torch.float64)

    def powers(count: int) -> Tensor:
        finite = points[:, None] ** torch.arange(count)
        infinite = torch.zeros(1, count, dtype=torch.float64)
        infinite[0, -1] = 1.0
        return torch.cat([finite, infinite])

    of_input = torch.linalg.inv(powers(n)).T
    of_kernel = powers(kernel)
    # Rows of equal weight on both sides of the product: measured to give the smallest errors.
    balance = (of_kernel.abs().sum(dim=1) / of_input.abs().sum(dim=1)).sqrt()[:, None]
    matrices = powers(tile).T, of_kernel / balance, of_input * balance
    return Transforms(*(matrix.contiguous().to(dtype) for matrix in matrices))


def winograd_conv2d(
    inputs: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    padding: int = 0,
    dilation: int = 1,
    rough: bool = False,
) -> Tensor:
    """A convolution of stride 1; differentiable once in all tensors.

    Args:
        inputs: (B, C, H, W), fastest where the channels are last in memory.
        weight: (O, C, r, r), r = 3 or 5; fastest where it is (r, r, C, O) in memory.
        bias: (O,), or None.
        padding: zeros around the inputs.
        dilation: cells from one tap of the kernel to the next.
        rough: take the largest tiles, :data:`ROUGH_TILES`.

    Returns:
        tensor of shape (B, O, H + 2 padding - dilation (r - 1), W + 2 padding - dilation (r - 1)), channels last in
        memory.
    """
    return _WinogradConv2d.apply(inputs, weight, bias, padding, dilation, rough)


class _WinogradConv2d(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        padding: int,
        dilation: int,
        rough: bool,
    ) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        tiles = ctx.tiles = _Tiles(inputs, weight, padding, dilation, rough)
        images = inputs.permute(0, 2, 3, 1)
        kernel = _transformed_kernel(weight, tiles)
        result = inputs.new_empty(tiles.batch, tiles.y.outputs, tiles.x.outputs, len(weight))
        space = _Workspace(inputs)
        for strip in tiles:
            seen = tiles.transformed_inputs(images, strip, space)
            products = torch.bmm(seen, kernel, out=space.get("tiles", *seen.shape[:2], len(weight)))
            tiles.write_outputs(result, strip, products, bias, space)
        return result.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        inputs, weight = ctx.saved_tensors
        tiles: _Tiles = ctx.tiles
        images, pulls = inputs.permute(0, 2, 3, 1), gradient.permute(0, 2, 3, 1)
        of_inputs, of_kernel = None, None
        if ctx.needs_input_grad[0]:
            kernel = _transformed_kernel(weight, tiles).transpose(1, 2)
            of_inputs = torch.empty_like(images, memory_format=torch.contiguous_format)
        if ctx.needs_input_grad[1]:
            of_kernel = inputs.new_zeros(tiles.products, weight.shape[1], weight.shape[0])
        space = _Workspace(inputs)
        for strip in tiles:
            pulled = tiles.transformed_gradient(pulls, strip, space)
            if of_kernel is not None:
                seen = tiles.transformed_inputs(images, strip, space)
                of_kernel.baddbmm_(seen.transpose(1, 2), pulled)
            if of_inputs is not None:
                products = torch.bmm(pulled, kernel, out=space.get("tiles", *pulled.shape[:2], weight.shape[1]))
                tiles.write_inputs(of_inputs, strip, products, space)
        return (
            None if of_inputs is None else of_inputs.permute(0, 3, 1, 2),
            None if of_kernel is None else _kernel_gradient(of_kernel, weight, tiles),
            gradient.sum(dim=(0, 2, 3)) if ctx.needs_input_grad[2] else None,
            None,
            None,
            None,
        )


class _Workspace:
    """Memory that the strips use one after the other: new memory costs more than what is written to it.

    Its names: ``image`` for a strip with its zeros, ``tiles`` before one side or the other is multiplied, ``rows``
    between the two, ``inputs`` and ``gradient`` for what they become.
    """

    def __init__(self, like: Tensor) -> None:
        self._like = like
        self._flat: dict[str, Tensor] = {}

    def get(self, name: str, *shape: int) -> Tensor:
        """Memory of this name with whatever it holds."""
        size = 1
        for side in shape:
            size *= side
        if name not in self._flat or self._flat[name].numel() < size:
            self._flat[name] = self._like.new_empty(size)
        return self._flat[name][:size].view(shape)


class _Strip(NamedTuple):
    """A part of the work: some rows of tiles of one image, or all tiles of some small images."""

    images: slice
    rows: slice


class _Axis(NamedTuple):
    """Tiles along one axis.

    Attributes:
        tile: outputs of a tile.
        tiles: tiles of one phase, that is of every d-th cell.
        outputs: cells of the result.
        inputs: cells of the image.
        before: zeros before the image.
        reach: inputs of a tile, n.
        gap: d, phases and cells from one tap to the next.
        output, kernel, input: the transforms.
    """

    tile: int
    tiles: int
    outputs: int
    inputs: int
    before: int
    reach: int
    gap: int
    output: Tensor
    kernel: Tensor
    input: Tensor


def _axis(inputs: int, kernel: int, padding: int, gap: int, sizes: tuple[int, ...], dtype: torch.dtype) -> _Axis:
    """The tile that needs the fewest products."""
    outputs = inputs + 2 * padding - gap * (kernel - 1)
    in_a_phase = -(-outputs // gap)
    tile = min(sizes, key=lambda side: -(-in_a_phase // side) * (side + kernel - 1))
    return _Axis(
        tile,
        -(-in_a_phase // tile),
        outputs,
        inputs,
        padding,
        tile + kernel - 1,
        gap,
        *transforms(kernel, tile, dtype),
    )


class _Tiles:
    """A batch of images in strips of tiles. Maps are (B, H, W, C).

    Padding, and zeros up to whole tiles, are put around one strip at a time, which then lies in the processor's cache.

    Attributes:
        y: the tiles along the rows.
        x: the tiles along the columns.
        products: products of a tile.
    """

    def __init__(self, images: Tensor, weight: Tensor, padding: int, gap: int, rough: bool) -> None:
        self.batch = len(images)
        kernel, dtype = weight.shape[-1], images.dtype
        sizes = (ROUGH_TILES if rough else TILES)[kernel]
        self.y, self.x = (_axis(side, kernel, padding, gap, sizes, dtype) for side in images.shape[-2:])
        self.products = self.y.reach * self.x.reach
        # A strip's transforms outweigh those of the kernel, which every strip reads again.
        at_least = _ROUGH_TILES_AT_A_TIME if rough else _TILES_AT_A_TIME
        self._at_a_time = max(at_least, 2 * weight.shape[0] * weight.shape[1] // sum(weight.shape[:2]))

    def __iter__(self) -> Iterator[_Strip]:
        in_a_row = self.x.tiles * self.x.gap * self.y.gap
        together = _equal_parts(self.batch, self._at_a_time // (self.y.tiles * in_a_row))
        step = _equal_parts(self.y.tiles, self._at_a_time // in_a_row)
        for image in range(0, self.batch, together):
            for row in range(0, self.y.tiles, step):
                yield _Strip(slice(image, min(image + together, self.batch)), slice(row, min(row + step, self.y.tiles)))

    def count(self, strip: _Strip) -> int:
        """Tiles of a strip."""
        return _length(strip.images) * _length(strip.rows) * self.x.tiles * self.x.gap * self.y.gap

    def transformed_inputs(self, images: Tensor, strip: _Strip, space: _Workspace) -> Tensor:
        """The inputs of a strip's tiles, transformed: (n * n, tiles, C).

        Along y the rows are transformed as they are, whole, before tiles are cut: that is half the work.
        """
        padded = self._room_for_inputs(strip, images.shape[-1], space)
        _copy_into_zeros(padded, images[strip.images], *self._first_input(strip))
        rows = self._rows(padded, strip, space)
        for whole, part in self._rows_of_tiles(padded, rows):
            torch.mm(self.y.input, whole, out=part)
        tiles = self._columns(rows, self.x.reach)
        gathered = space.get("tiles", *tiles.shape).copy_(tiles).view(self.y.reach, self.x.reach, -1)
        result = space.get("inputs", self.products, self.count(strip), padded.shape[-1])
        _along_columns(self.x.input, gathered, result)
        return result

    def write_inputs(self, images: Tensor, strip: _Strip, products: Tensor, space: _Workspace) -> None:
        """The transpose of :meth:`transformed_inputs`: (n * n, tiles, C) to images, the strips from top to bottom.

        The first rows of a strip are the last ones of the strip above and are added to them.
        """
        padded = self._room_for_inputs(strip, images.shape[-1], space).zero_()
        rows = self._rows(padded, strip, space)
        tiles = self._columns(rows, self.x.reach)
        spread = space.get("inputs", *tiles.shape)
        _along_columns(self.x.input.T, products.view(self.y.reach, self.x.reach, -1), spread)
        rows.zero_()
        # Parts of a tile's step do not overlap each other.
        for left in range(0, self.x.reach, self.x.tile):
            part = slice(left, min(left + self.x.tile, self.x.reach))
            tiles[:, part].add_(spread[:, part])
        for whole, of_whole in self._rows_of_tiles(padded, rows):
            whole.addmm_(self.y.input.T, of_whole)
        top, left = self._first_input(strip)
        shared = self.y.gap * (self.y.reach - self.y.tile) if strip.rows.start else 0
        inside, in_strip = _overlap(images[strip.images], padded[:, :shared], top, left)
        inside.add_(in_strip)
        inside, in_strip = _overlap(images[strip.images], padded[:, shared:], top + shared, left)
        inside.copy_(in_strip)

    def write_outputs(
        self, result: Tensor, strip: _Strip, products: Tensor, bias: Tensor | None, space: _Workspace
    ) -> None:
        """Transform the products of a strip, (n * n, tiles, O), and write what of them lies on the result."""
        room = self._room_for_outputs(strip, result.shape[-1], space)
        place = self._as_tiles(room)
        done = space.get("inputs", self.y.tile, self.x.tile, products[0].numel())
        done = _both_sides(self.y.output, self.x.output, products, space, done).view(place.shape)
        place.copy_(done) if bias is None else torch.add(done, bias, out=place)
        inside, in_strip = _overlap(result[strip.images], room, self._first_output(strip), 0)
        inside.copy_(in_strip)

    def transformed_gradient(self, gradient: Tensor, strip: _Strip, space: _Workspace) -> Tensor:
        """The gradient of a strip's outputs, transformed: (n * n, tiles, O)."""
        room = self._room_for_outputs(strip, gradient.shape[-1], space)
        _copy_into_zeros(room, gradient[strip.images], self._first_output(strip), 0)
        tiles = self._as_tiles(room)
        gathered = space.get("tiles", *tiles.shape).copy_(tiles)
        result = space.get("gradient", self.products, self.count(strip), gradient.shape[-1])
        return _both_sides(self.y.output.T, self.x.output.T, gathered, space, result)

    def _first_input(self, strip: _Strip) -> tuple[int, int]:
        """The row and column of the images at which a strip's inputs begin; negative in the padding."""
        return strip.rows.start * self.y.tile * self.y.gap - self.y.before, -self.x.before

    def _first_output(self, strip: _Strip) -> int:
        return strip.rows.start * self.y.tile * self.y.gap

    def _room_for_inputs(self, strip: _Strip, channels: int, space: _Workspace) -> Tensor:
        """Room for a strip's inputs: (images, rows, columns, C)."""
        y, x = self.y, self.x
        rows = y.gap * (_length(strip.rows) * y.tile + y.reach - y.tile)
        columns = x.gap * (x.tiles * x.tile + x.reach - x.tile)
        return space.get("image", _length(strip.images), rows, columns, channels)

    def _room_for_outputs(self, strip: _Strip, channels: int, space: _Workspace) -> Tensor:
        """Room for a strip's outputs: (images, rows, columns, O)."""
        y, x = self.y, self.x
        rows, columns = y.gap * _length(strip.rows) * y.tile, x.gap * x.tiles * x.tile
        return space.get("image", _length(strip.images), rows, columns, channels)

    def _rows(self, padded: Tensor, strip: _Strip, space: _Workspace) -> Tensor:
        """Room for a strip that is transformed along y only: (n, images, phases, rows, W', C)."""
        sides = (_length(strip.images), self.y.gap, _length(strip.rows))
        return space.get("rows", self.y.reach, *sides, *padded.shape[-2:])

    def _rows_of_tiles(self, padded: Tensor, rows: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """For each row of tiles its rows of a strip's images and those of :meth:`_rows`, both (n, W' * C)."""
        y = self.y
        images, phases, count = rows.shape[1:4]
        for image, phase, row in product(range(images), range(phases), range(count)):
            top = phase + row * y.tile * y.gap
            whole = padded[image, top : top + y.gap * (y.reach - 1) + 1 : y.gap]
            yield whole.flatten(1), rows[:, image, phase, row].flatten(1)

    def _columns(self, rows: Tensor, size: int) -> Tensor:
        """What :meth:`_rows` gives as overlapping tiles: (n, size, images, phases, rows, phases, columns, C)."""
        x = self.x
        along = rows.stride(4)
        return rows.as_strided(
            (rows.shape[0], size, *rows.shape[1:4], x.gap, x.tiles, rows.shape[-1]),
            (rows.stride(0), x.gap * along, *rows.stride()[1:4], along, x.gap * x.tile * along, 1),
        )

    def _as_tiles(self, room: Tensor) -> Tensor:
        """A view of a strip's outputs: (m, m, images, phases, rows, phases, columns, O)."""
        y, x = self.y, self.x
        images, height, _, channels = room.shape
        of_image, along_y, along_x, _ = room.stride()
        return room.as_strided(
            (y.tile, x.tile, images, y.gap, height // (y.gap * y.tile), x.gap, x.tiles, channels),
            (
                *(y.gap * along_y, x.gap * along_x, of_image),
                *(along_y, y.gap * y.tile * along_y, along_x, x.gap * x.tile * along_x, 1),
            ),
        )


def _equal_parts(whole: int, largest: int) -> int:
    """The size of as few parts as there can be, of about equal size, at least 1."""
    parts = -(-whole // max(1, largest))
    return -(-whole // max(1, parts))


def _length(part: slice) -> int:
    return part.stop - part.start


def _overlap(images: Tensor, room: Tensor, top: int, left: int) -> tuple[Tensor, Tensor]:
    """Views of both where they overlap, if the room's first cell is the images' ``top``, ``left``."""
    in_images, in_room = [slice(None)], [slice(None)]
    for axis, first in ((1, top), (2, left)):
        begin = max(0, first)
        end = max(begin, min(images.shape[axis], first + room.shape[axis]))
        in_images.append(slice(begin, end))
        in_room.append(slice(begin - first, end - first))
    return images[tuple(in_images)], room[tuple(in_room)]


def _copy_into_zeros(room: Tensor, images: Tensor, top: int, left: int) -> None:
    """Fill room with the images' cells from ``top``, ``left`` on, and with zeros beside the images."""
    inside, in_room = _overlap(images, room, top, left)
    if in_room.shape != room.shape:
        room.zero_()
    in_room.copy_(inside)


def _both_sides(by_row: Tensor, by_column: Tensor, tiles: Tensor, space: _Workspace, result: Tensor) -> Tensor:
    """``by_row @ tile @ by_column.T`` for all tiles: (n, n', X) in any shape -> (m, m', X) in the result's shape."""
    m, n, n_ = *by_row.shape, by_column.shape[1]
    rest = tiles.numel() // (n * n_)
    rows = torch.mm(by_row, tiles.view(n, -1), out=space.get("rows", m, n_ * rest)).view(m, n_, rest)
    _along_columns(by_column, rows, result)
    return result


def _along_columns(matrix: Tensor, tiles: Tensor, result: Tensor) -> None:
    """``tile @ matrix.T`` for tiles (m, n, X); the result is (m, m', X), in whatever shape."""
    count = tiles.shape[0]
    torch.bmm(matrix.expand(count, *matrix.shape), tiles, out=result.view(count, len(matrix), -1))


def _transformed_kernel(weight: Tensor, tiles: _Tiles) -> Tensor:
    """(O, C, r, r) -> (n * n, C, O)."""
    out_channels, channels, kernel, _ = weight.shape
    taps = weight.detach().permute(2, 3, 1, 0).reshape(kernel, kernel, -1)
    room = weight.new_empty(tiles.products, channels, out_channels)
    return _both_sides(tiles.y.kernel, tiles.x.kernel, taps, _Workspace(weight), room)


def _kernel_gradient(gradient: Tensor, weight: Tensor, tiles: _Tiles) -> Tensor:
    """(n * n, C, O) -> (O, C, r, r), (r, r, C, O) in memory."""
    out_channels, channels, kernel, _ = weight.shape
    room = weight.new_empty(kernel, kernel, channels, out_channels)
    return _both_sides(tiles.y.kernel.T, tiles.x.kernel.T, gradient, _Workspace(weight), room).permute(3, 2, 0, 1)
