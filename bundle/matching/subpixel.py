"""Where between the cells a similarity map has its maximum."""

from collections.abc import Callable

import torch
from torch import Tensor

#: From similarity maps, (N, rows, columns), and a cell of each, (N, 2), to what is added to the cells, (N, 2).
Offsets = Callable[[Tensor, Tensor], Tensor]


def no_offsets(similarity: Tensor, cells: Tensor) -> Tensor:
    """Whole cells, as the paper's public code has them; arguments and result as of :func:`peak_offsets`."""
    return torch.zeros_like(cells)


def peak_offsets(similarity: Tensor, cells: Tensor) -> Tensor:
    """The top of the parabola through a cell and its two neighbours, along each axis.

    Args:
        similarity: (N, rows, columns).
        cells: (N, 2), a whole cell ``(x, y)`` of each map.

    Returns:
        tensor of shape (N, 2), ``(x, y)`` to be added to the cells, -0.5 to 0.5; zero along an axis on which the cell
        is at the border or is no maximum.
    """
    rows, columns = similarity.shape[-2:]
    x, y = cells.round().long().unbind(dim=-1)
    which = torch.arange(len(cells), device=cells.device)

    def along(step_x: int, step_y: int, inside: Tensor) -> Tensor:
        def at(sign: int) -> Tensor:
            row = (y + sign * step_y).clamp(0, rows - 1)
            return similarity[which, row, (x + sign * step_x).clamp(0, columns - 1)]

        before, here, after = at(-1), at(0), at(1)
        bend = before - 2 * here + after
        peak = inside & (here >= before) & (here >= after) & (bend < 0)
        return torch.where(peak, 0.5 * (before - after) / bend.where(peak, -torch.ones_like(bend)), 0.0)

    inside_x, inside_y = (x > 0) & (x < columns - 1), (y > 0) & (y < rows - 1)
    return torch.stack([along(1, 0, inside_x), along(0, 1, inside_y)], dim=-1)
