"""Step 6: the bidirectional matching BDM (paper, section 2.2, equation 2), one landmark at a time."""

import math
from typing import NamedTuple

from torch import Tensor

Size = tuple[int, int] | None


class Match(NamedTuple):
    """The place found for one landmark, and how clear the decision was.

    ``margin`` is the smallest lead in similarity on which the result depends: of the k-th candidate before the next
    place, of each candidate before the next, and of each match back before its runner-up.
    """

    x: int
    y: int
    similarity: float
    error: float
    margin: float


def coordinate_to_index(coordinate: float, image_size: int, map_size: int) -> int:
    """A landmark's cell: ``int(coordinate / image_size * map_size)``."""
    return int(coordinate / image_size * map_size)


def index_to_pixel(index: int, image_size: int, map_size: int) -> int:
    """A cell's pixel in a result: ``round(index / map_size * image_size)``."""
    return round(index / map_size * image_size)


def cell_of(landmark: tuple[float, float], features: Tensor, size: Size) -> tuple[int, int]:
    """The column and the row of a landmark on a map of an image (of a crop, where ``size`` is None)."""
    if size is None:
        return int(landmark[0]), int(landmark[1])
    _, rows, columns = features.shape
    return coordinate_to_index(landmark[0], size[1], columns), coordinate_to_index(landmark[1], size[0], rows)


def place_of(row: int, column: int, features: Tensor, size: Size) -> tuple[float, float]:
    """The place ``(x, y)`` of a cell of a map of an image (of a crop, where ``size`` is None), not rounded."""
    if size is None:
        return column, row
    _, rows, columns = features.shape
    return column / columns * size[1], row / rows * size[0]


def cosine_map(features: Tensor, vector: Tensor) -> list[list[float]]:
    """cos(F, F(p)) at every position of (C, h, w)."""
    dot = (features * vector[:, None, None]).sum(dim=0)
    lengths = features.square().sum(dim=0).sqrt() * vector.square().sum().sqrt()
    return (dot / lengths).tolist()


def ranked(similarity: list[list[float]]) -> list[tuple[float, int, int]]:
    """All positions as (similarity, row, column), the most similar first."""
    places = [(value, row, column) for row, line in enumerate(similarity) for column, value in enumerate(line)]
    return sorted(places, key=lambda place: -place[0])


def bidirectional_match(
    template: Tensor, query: Tensor, landmark: tuple[float, float], k: int, template_size: Size, query_size: Size
) -> Match:
    """Equation 2.

    Psi: the k places of the query most similar to the landmark's feature F^t(p_i^t). Omega: each with the place of the
    template most similar to it. Chosen is the pair with the least Dist(c_i^t, p_i^t), in pixels of the template, which
    are not rounded; of equal distances the more similar. Only the place that is chosen is rounded.

    Args:
        template: F^t, (C, h, w).
        query: F^q, (C, h', w').
        landmark: p_i^t = (x, y) in pixels of the template.
        k: how many candidates.
        template_size: (height, width) of the template in pixels; None for a crop, whose cells are pixels.
        query_size: the same for the query.
    """
    cell_x, cell_y = cell_of(landmark, template, template_size)
    places = ranked(cosine_map(query, template[:, cell_y, cell_x]))
    leads = [places[index][0] - places[index + 1][0] for index in range(min(k, len(places) - 1))]

    best: tuple[float, float, int, int] | None = None
    for similarity, row, column in places[:k]:
        back = ranked(cosine_map(template, query[:, row, column]))
        leads.append(back[0][0] - back[1][0])
        back_x, back_y = place_of(back[0][1], back[0][2], template, template_size)
        distance = math.hypot(back_x - landmark[0], back_y - landmark[1])
        if best is None or distance < best[0]:
            best = (distance, similarity, row, column)
    assert best is not None
    distance, similarity, row, column = best
    x, y = place_of(row, column, query, query_size)
    return Match(round(x), round(y), similarity, distance, min(leads))
