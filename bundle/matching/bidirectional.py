"""Bidirectional matching, BDM (paper, section 2.2, equation 2)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from bundle.matching.descriptors import DescriptorPyramid


class Candidates(NamedTuple):
    """The best places of each landmark, most similar first: the set Omega of equation 2.

    Attributes:
        cells: (N, k, 2), c_i^q as whole cells ``(x, y)`` of the query's grid.
        similarity: (N, k), cosine similarity to the template landmark.
        back_match_error: (N, k), Dist(c_i^t, p_i^t) in pixels of the template.
    """

    cells: Tensor
    similarity: Tensor
    back_match_error: Tensor


class Matches(NamedTuple):
    """One place for each landmark.

    Attributes:
        points: (N, 2), pixels ``(x, y)`` of the query.
        similarity: (N,), cosine similarity to the template landmark.
        back_match_error: (N,), Dist(c_i^t, p_i^t) in pixels of the template.
    """

    points: Tensor
    similarity: Tensor
    back_match_error: Tensor


def best_cells(similarity: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k most similar cells: the set Psi of equation 2.

    Args:
        similarity: (N, rows, columns).
        k: how many; at most as many as there are cells.

    Returns:
        cells ``(x, y)`` of shape (N, k, 2), and their similarity of shape (N, k), falling.
    """
    columns = similarity.shape[-1]
    values, index = similarity.flatten(1).topk(min(k, similarity[0].numel()), dim=1)
    return torch.stack([index % columns, index // columns], dim=-1).to(similarity.dtype), values


def match_back(template: DescriptorPyramid, described: Sequence[Tensor], subpixel: bool = False) -> Tensor:
    """The places on the template that are most similar to places on the query: c_i^t of equation 2.

    Args:
        template: descriptors of the template.
        described: the query's descriptors F^q(c_i^q) at M places, as its pyramid describes them.
        subpixel: whether the place may lie between the cells.

    Returns:
        tensor of shape (M, 2), places ``(x, y)`` on the template in double precision, not rounded.
    """
    similarity = template.similarity(described)
    cells = best_cells(similarity, k=1)[0][:, 0]
    return template.to_pixels((cells + peak_offsets(similarity, cells) if subpixel else cells).double())


def bidirectional_candidates(
    template: DescriptorPyramid,
    landmarks: Tensor,
    query: DescriptorPyramid,
    similarity: Tensor,
    k: int,
    subpixel: bool = False,
) -> Candidates:
    """Match each landmark to the query and its candidates back: the sets Psi and Omega of equation 2.

    Args:
        template: descriptors of the template.
        landmarks: (N, 2), p_i^t in pixels ``(x, y)`` of the template.
        query: descriptors of the query.
        similarity: (N, rows, columns), similarity of the query's grid to the landmarks.
        k: how many candidates a landmark has.
        subpixel: whether a match back may lie between the cells.

    Returns:
        the candidates of all landmarks.
    """
    cells, values = best_cells(similarity, k)
    back = match_back(template, query.describe_cells(cells.reshape(-1, 2)), subpixel).reshape(cells.shape)
    return Candidates(cells, values, (back - landmarks[:, None]).norm(dim=-1))


def select_matches(
    candidates: Candidates, query: DescriptorPyramid, similarity: Tensor, subpixel: bool = False
) -> Matches:
    """The argmin of equation 2: the candidate that matches back nearest to the landmark; ties to the more similar.

    Args:
        candidates: what :func:`bidirectional_candidates` gave.
        query: descriptors of the query.
        similarity: (N, rows, columns), similarity of the query's grid to the landmarks.
        subpixel: whether a match may lie between the cells; on whole cells in the paper's public code.
    """
    best = candidates.back_match_error.sort(dim=1, stable=True).indices[:, :1]
    cells = candidates.cells.gather(1, best[..., None].expand(-1, -1, 2))[:, 0]
    return Matches(
        query.to_result(cells + peak_offsets(similarity, cells) if subpixel else cells),
        candidates.similarity.gather(1, best)[:, 0],
        candidates.back_match_error.gather(1, best)[:, 0].to(candidates.similarity.dtype),
    )


def peak_offsets(similarity: Tensor, cells: Tensor) -> Tensor:
    """The top of the parabola through a cell and its two neighbours, along each axis.

    Args:
        similarity: (N, rows, columns).
        cells: (N, 2), a whole cell ``(x, y)`` of each map.

    Returns:
        tensor of shape (N, 2), ``(x, y)`` to be added to the cells, -0.5 to 0.5; zero along an axis on which the cell
        is at the border or is no maximum.
    """
    x, y = (cells.round().long() + 1).unbind(dim=-1)
    which = torch.arange(len(cells), device=cells.device)
    bordered = F.pad(similarity, (1, 1, 1, 1), value=torch.inf)  # so that no cell at the border is a maximum
    here = bordered[which, y, x]
    offsets = []
    for before, after in (
        (bordered[which, y, x - 1], bordered[which, y, x + 1]),
        (bordered[which, y - 1, x], bordered[which, y + 1, x]),
    ):
        bend = before - 2 * here + after
        peak = (here >= before) & (here >= after) & (bend < 0)
        offsets.append(torch.where(peak, 0.5 * (before - after) / bend, 0.0))
    return torch.stack(offsets, dim=-1)
