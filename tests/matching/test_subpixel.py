import math

import pytest
import torch
from torch import Tensor

from bundle.geometry import PixelCentres, cell_grid
from bundle.matching.bidirectional import peak_offsets
from bundle.matching.paper_matcher import PaperMatcher
from bundle.matching.settings import MatchingSettings


def paraboloid(rows: int, columns: int, x: float, y: float) -> Tensor:
    grid = cell_grid((rows, columns), dtype=torch.float64)
    return (1 - 0.03 * (grid[:, 0] - x) ** 2 - 0.01 * (grid[:, 1] - y) ** 2).reshape(rows, columns)


@pytest.mark.parametrize(("x", "y"), [(4.0, 3.0), (4.4, 2.7), (3.6, 3.2)])
def test_the_top_of_a_paraboloid_is_found(x: float, y: float) -> None:
    maps = torch.stack([paraboloid(7, 9, x, y), -paraboloid(7, 9, x, y), paraboloid(7, 9, x, y)])
    found = peak_offsets(maps, torch.tensor([[4.0, 3.0], [4.0, 3.0], [2.0, 3.0]], dtype=torch.float64))
    torch.testing.assert_close(found[0], torch.tensor([x - 4, y - 3], dtype=torch.float64))
    assert found[1].tolist() == [0, 0], "a minimum has no top"
    assert found[2, 0] == 0, "nor has a slope"


@pytest.mark.parametrize("cell", [(0, 3), (8, 3), (4, 0), (4, 6), (0, 0), (8, 6)])
def test_at_the_border_a_cell_stays_where_it_is(cell: tuple[int, int]) -> None:
    maps = paraboloid(7, 9, *cell)[None]
    found = peak_offsets(maps + 0.01 * torch.arange(9), torch.tensor([cell], dtype=torch.float64))[0]
    for axis, last in enumerate((8, 6)):
        assert cell[axis] not in (0, last) or found[axis] == 0


def test_flat_maps_and_maps_of_one_cell() -> None:
    assert peak_offsets(torch.ones(1, 5, 5), torch.tensor([[2.0, 2.0]])).tolist() == [[0.0, 0.0]]
    assert peak_offsets(torch.ones(1, 1, 1), torch.tensor([[0.0, 0.0]])).tolist() == [[0.0, 0.0]]


def waves(size: tuple[int, int], rows: int, columns: int, shift: tuple[float, float]) -> Tensor:
    """Smooth features of length one, (C, rows, columns), of a picture moved right and down by ``shift`` pixels."""
    cells = cell_grid((rows, columns), dtype=torch.float64)
    x, y = (PixelCentres().to_pixels(cells, size, (rows, columns)) - torch.tensor(shift)).unbind(dim=-1)
    phases = [x / 9, y / 9, (x + y) / 14, (x - y) / 17, x / 23, y / 29]
    features = torch.stack([wave(phase) for phase in phases for wave in (torch.sin, torch.cos)])
    return torch.nn.functional.normalize(features, dim=0).reshape(-1, rows, columns)


def test_a_shift_by_less_than_a_cell_is_measured() -> None:
    """Between the cells the error is a small part of a cell of three pixels; on whole pixels it is half of one."""
    size, rows, columns, shift = (90, 120), 30, 40, (4.3, -2.6)
    landmarks = torch.tensor([[40.4, 50.2], [70.0, 33.0], [61.7, 44.9]], dtype=torch.float64)
    errors = {}
    for subpixel in (True, False):
        matcher = PaperMatcher(MatchingSettings(strategy="paper", subpixel=subpixel))
        template = matcher.view([waves(size, rows, columns, (0.0, 0.0))], size)
        query = matcher.view([waves(size, rows, columns, shift)], size)
        found = matcher.coarse(template, landmarks, query)
        expected = landmarks + torch.tensor(shift, dtype=torch.float64)
        errors[subpixel] = (found.points - expected).norm(dim=1).max().item()
    assert errors[True] < 0.3 < 1.0 < errors[False] < 3 * math.sqrt(2)


def test_the_fine_stage_is_not_bound_to_pixels() -> None:
    size, shift = (60, 50), (2.3, -1.4)
    matcher = PaperMatcher(MatchingSettings(strategy="paper", subpixel=True))
    template, query = waves(size, *size, (0.0, 0.0)), waves(size, *size, shift)
    origins = torch.tensor([[100.0, 200.0], [300.0, 400.0]], dtype=torch.float64)
    landmark = torch.tensor([124.6, 230.2], dtype=torch.float64)
    found = matcher.fine(template, origins[0], landmark, query, origins[1])
    expected = landmark - origins[0] + torch.tensor(shift, dtype=torch.float64) + origins[1]
    assert (found.points[0] - expected).norm() < 0.1
    assert found.back_match_error.item() < 1.0
