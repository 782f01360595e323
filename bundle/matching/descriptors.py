"""Descriptors of one image at one or several scales, and how similar they are to a landmark's.

The similarity of a landmark is averaged over the scales *after* matching at each scale's own resolution: resizing and
dot product are linear, so this equals matching resized descriptors, at a small part of the cost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from bundle.geometry import CellGeometry, PixelCentres, Size, resizing_matrix, sample_map

#: Strips of the grid to which the maps of all scales are brought together.
STRIPS = 8

#: Landmarks whose maps are made together: those of more would take memory that the result does not need, and time.
AT_A_TIME = 64


def normalise_channels(features: Tensor) -> Tensor:
    """Scale each position's descriptor to length one, so that a dot product is a cosine; (..., C, h, w)."""
    return F.normalize(features, dim=-3)


@dataclass(frozen=True)
class DescriptorPyramid:
    """Descriptors of one image (or of one crop of it).

    Attributes:
        levels: one map of shape (C, h, w) a scale, of length one at every position.
        size: (height, width) in pixels of what every map covers.
        grid: (rows, columns) of the grid on which the scales are averaged.
        geometry: how cells of a map lie on the pixels.
        patch: side in cells of the patch that describes a point, odd; 1 is the paper's single vector.
    """

    levels: Sequence[Tensor]
    size: Size
    grid: Size
    geometry: CellGeometry
    patch: int = 1

    def describe(self, points: Tensor) -> list[Tensor]:
        """The descriptors around points.

        Args:
            points: (N, 2), pixels ``(x, y)``.

        Returns:
            for each level a tensor of shape (N, C, patch, patch), sampled bilinearly between the cells.
        """
        return [
            self._patches(level, self.geometry.to_cells(points, self.size, (level.shape[-2], level.shape[-1])))
            for level in self.levels
        ]

    def describe_cells(self, cells: Tensor) -> list[Tensor]:
        """The descriptors around cells of :attr:`grid`.

        They are not read through pixels, whose rounding may lead to another cell.

        Args:
            cells: (N, 2), ``(x, y)``.

        Returns:
            what :meth:`describe` returns.
        """
        centres = PixelCentres()
        return [
            self._patches(level, centres.to_cells(cells, self.grid, (level.shape[-2], level.shape[-1])))
            for level in self.levels
        ]

    def _patches(self, level: Tensor, cells: Tensor) -> Tensor:
        reach = self.patch // 2
        offset = torch.arange(-reach, reach + 1, dtype=cells.dtype, device=cells.device)
        ys, xs = torch.meshgrid(offset, offset, indexing="ij")
        return sample_map(level, cells[:, None, None] + torch.stack([xs, ys], dim=-1)).permute(0, 3, 1, 2)

    def similarity(self, kernels: Sequence[Tensor]) -> Tensor:
        """How similar every place is to points of (another) image, averaged over the scales.

        Args:
            kernels: what :meth:`describe` gave.

        Returns:
            tensor of shape (N, rows, columns) on :attr:`grid`; cosine similarity, -1 to 1 (bicubic resizing may
            overshoot a little).
        """
        if len(kernels[0]) > AT_A_TIME:
            return torch.cat([self.similarity(part) for part in zip(*(one.split(AT_A_TIME) for one in kernels))])
        maps = [_correlate(level, kernel) for level, kernel in zip(self.levels, kernels)]
        if len(maps) == 1 and tuple(maps[0].shape[-2:]) == tuple(self.grid):
            return maps[0]
        strips, columns = self._resizing
        wide = torch.cat([one @ matrix for one, matrix in zip(maps, columns)], dim=1)
        return torch.cat([rows @ wide.index_select(1, seen) for seen, rows in strips], dim=1)

    @cached_property
    def _resizing(self) -> tuple[list[tuple[Tensor, Tensor]], list[Tensor]]:
        """What brings all maps to the grid and averages them: first across, then down.

        The grid comes in strips of rows. Each is read from the few rows of all maps that it sees, which are told with
        it: a third of the products.
        """
        device, like = self.levels[0].device, self.levels[0].new_empty(0, device="cpu")  # no GPU has to be waited for
        columns = [resizing_matrix(level.shape[-1], like, self.grid[1]).T.to(device) for level in self.levels]
        rows = [resizing_matrix(level.shape[-2], like, self.grid[0]) for level in self.levels]
        strips = (torch.cat(rows, dim=1) / len(self.levels)).chunk(STRIPS)
        seen = [strip.any(dim=0).nonzero()[:, 0] for strip in strips]
        return [(index.to(device), strip[:, index].to(device)) for index, strip in zip(seen, strips)], columns

    def to_cells(self, points: Tensor) -> Tensor:
        """Pixels ``(x, y)`` to cells ``(x, y)`` of :attr:`grid`."""
        return self.geometry.to_cells(points, self.size, self.grid)

    def to_pixels(self, cells: Tensor) -> Tensor:
        """Cells ``(x, y)`` of :attr:`grid` to places ``(x, y)`` on the image, not rounded."""
        return self.geometry.to_pixels(cells, self.size, self.grid)

    def to_result(self, cells: Tensor) -> Tensor:
        """Cells ``(x, y)`` of :attr:`grid` to pixels ``(x, y)`` as a result has them."""
        exact = self.to_pixels(cells.double())  # single precision can round to the other side
        return self.geometry.to_result(exact, self.size).to(cells.dtype)


def _correlate(level: Tensor, kernel: Tensor) -> Tensor:
    """Mean cosine of patches, (N, C, p, p), with those around every cell of a map, (C, h, w): (N, h, w)."""
    side = kernel.shape[-1]
    if side == 1:  # single vectors: one matrix product, whatever the order of the map in memory
        return (kernel.flatten(1) @ level.flatten(1)).unflatten(1, level.shape[1:])
    padded = F.pad(level[None], (side // 2,) * 4, mode="replicate")
    return F.conv2d(padded, kernel)[0] / side**2
