"""The places of the fine stage, one lattice a landmark, and the few cells of all descriptor maps that it is read from.

Reading them with a kernel is linear in the kernel, so kernels can be learned by convex problems.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from bundle.geometry import PixelCentres, Size, cell_grid, cubic_matrix, resizing_matrix


class Window(NamedTuple):
    """The cells of one map around each landmark.

    Attributes:
        cells: (N, C, m + 2r, m + 2r), descriptors; r cells beyond the window, for the patch.
        rows: (N, S, m), weights by which the window's rows make those of the lattice.
        columns: (N, S, m), likewise.
    """

    cells: Tensor
    rows: Tensor
    columns: Tensor

    @property
    def patch(self) -> int:
        """Side of the kernels that fit."""
        return self.cells.shape[-1] - self.columns.shape[-1] + 1

    def scores(self, kernels: Tensor) -> Tensor:
        """Correlate each window with its landmark's kernels, and read the result bicubically on the lattice.

        Args:
            kernels: (..., N, C, 2r + 1, 2r + 1).

        Returns:
            tensor of shape (..., N, S, S).
        """
        height, width = self.rows.shape[-1], self.columns.shape[-1]
        several = kernels.flatten(end_dim=-5) if kernels.ndim > 4 else kernels[None]
        # One product for each landmark, then shifts: eight times as fast as a convolution with a group for each.
        taps = several.permute(1, 0, 3, 4, 2).flatten(1, 3) @ self.cells.flatten(2)
        taps = taps.view(len(taps), len(several), self.patch, self.patch, *self.cells.shape[-2:]).transpose(0, 1)
        offsets = [(y, x) for y in range(self.patch) for x in range(self.patch)]
        values = torch.stack([taps[:, :, y, x, y : y + height, x : x + width] for y, x in offsets]).sum(dim=0)
        found = self.rows @ values @ self.columns.transpose(-1, -2)
        return found.reshape(*kernels.shape[:-3], *found.shape[-2:])


@dataclass(frozen=True)
class Lattice:
    """S x S places around each landmark, and what the query shows there.

    Attributes:
        origins: (N, 2), pixel ``(x, y)`` of the query at each lattice's first place.
        step: (2,), pixels from one place to the next, ``(x, y)``.
        side: S.
        windows: the cells of each scale and, last, of the crops.
    """

    origins: Tensor
    step: Tensor
    side: int
    windows: Sequence[Window]

    @property
    def pixels(self) -> Tensor:
        """(N, S, S, 2), pixels ``(x, y)`` of the query."""
        return lattice_pixels(self.origins, self.step, self.side)

    def scores(self, kernels: Sequence[Tensor]) -> Tensor:
        """The sum of all windows' scores: (..., N, S, S).

        Args:
            kernels: for each window (..., N, C, patch, patch).
        """
        return torch.stack([window.scores(kernel) for window, kernel in zip(self.windows, kernels)]).sum(dim=0)

    def log_gaussian(self, mean: Tensor, covariance: Tensor) -> Tensor:
        """The logarithm of a Gaussian's density a landmark, up to a constant: (N, 2), (N, 2, 2) -> (N, S, S)."""
        away = self.pixels - mean[:, None, None].to(self.pixels.dtype)
        precision = torch.linalg.inv(covariance).to(away.dtype)
        return -0.5 * torch.einsum("nyxa,nab,nyxb->nyx", away, precision, away)


def lattice_pixels(origins: Tensor, step: Tensor, side: int) -> Tensor:
    """The places of lattices: (N, 2), (2,) -> (N, side, side, 2), pixels ``(x, y)``."""
    return (
        origins[:, None, None]
        + cell_grid((side, side), dtype=step.dtype, device=step.device).reshape(1, side, side, 2) * step
    )


def level_window(level: Tensor, size: Size, origins: Tensor, step: Tensor, side: int, patch: int) -> Window:
    """The cells of a map of the whole image that lattices are read from; beyond its border the border is repeated.

    Args:
        level: (C, h, w).
        size: (height, width) in pixels of the image.
        origins: (N, 2), pixel ``(x, y)`` at each lattice's first place.
        step: (2,), pixels from one place to the next, ``(x, y)``.
        side: S.
        patch: side of the kernels in cells, odd.
    """
    _, height, width = level.shape
    along = torch.arange(side, dtype=origins.dtype, device=origins.device)
    places = PixelCentres().to_cells(origins[:, None] + along[:, None] * step, size, (height, width))  # (N, S, 2)
    first = places[:, 0].floor() - 1
    # From the step alone, so that it is the same for every image of one size and shape.
    ratio = float((step * torch.tensor([width / size[1], height / size[0]]).to(step)).max())
    count = math.ceil((side - 1) * ratio) + 4
    reach = patch // 2
    around = torch.arange(-reach, count + reach, device=level.device)
    x = (first[:, :1].long() + around).clamp(0, width - 1)
    y = (first[:, 1:].long() + around).clamp(0, height - 1)
    cells = level[:, y[:, :, None], x[:, None, :]].transpose(0, 1).contiguous()
    inside = (places - first[:, None]).to(level.dtype)
    return Window(cells, cubic_matrix(inside[..., 1], count), cubic_matrix(inside[..., 0], count))


def crop_window(maps: Tensor, side: int, patch: int) -> Window:
    """Whole maps of crops: (N, C, h, w), with ``side`` x ``side`` places over each crop."""
    count, _, height, width = maps.shape
    rows, columns = (resizing_matrix(length, maps, side) for length in (height, width))
    cells = F.pad(maps, (patch // 2,) * 4, mode="replicate")
    return Window(cells, rows.expand(count, -1, -1), columns.expand(count, -1, -1))
