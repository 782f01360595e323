import math

import pytest
import torch
from torch.nn import functional as F

from bundle.geometry import PaperRounding, PixelCentres, bilinear_matrix, cell_grid, sample_map
from tests.reference.matching import coordinate_to_index, index_to_pixel

#: (height, width) of image and map: the paper's, upsampled and equal ones, and ratios that fall on halves.
SIZES = [
    ((2400, 1935), (277, 224)),
    ((1935, 2400), (224, 277)),
    ((1511, 2047), (224, 303)),
    ((120, 97), (79, 64)),
    ((224, 224), (224, 224)),
    ((10, 5), (4, 2)),
    ((49, 7), (7, 1)),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("image_size", "map_size"), SIZES)
class TestPaperRounding:
    def test_every_pixel_falls_into_the_cell_that_python_computes(self, image_size, map_size, dtype) -> None:
        (height, width), (rows, columns) = image_size, map_size
        count = max(height, width)
        points = torch.tensor([[min(i, width - 1), min(i, height - 1)] for i in range(count)], dtype=dtype)
        expected = [
            [coordinate_to_index(x, width, columns), coordinate_to_index(y, height, rows)]
            for x, y in points.int().tolist()
        ]
        found = PaperRounding().to_cells(points, image_size, map_size)
        assert found.dtype == dtype
        assert found.int().tolist() == expected

    def test_every_cell_stands_for_the_pixel_that_python_computes(self, image_size, map_size, dtype) -> None:
        (height, width), (rows, columns) = image_size, map_size
        count = max(rows, columns)
        cells = torch.tensor([[min(i, columns - 1), min(i, rows - 1)] for i in range(count)], dtype=dtype)
        expected = [
            [min(index_to_pixel(x, width, columns), width - 1), min(index_to_pixel(y, height, rows), height - 1)]
            for x, y in cells.int().tolist()
        ]
        rule = PaperRounding()
        exact = rule.to_pixels(cells.double(), image_size, map_size)
        assert exact.tolist() == [[x / columns * width, y / rows * height] for x, y in cells.int().tolist()]
        assert rule.to_pixels(cells, image_size, map_size).dtype == dtype
        assert rule.to_result(exact, image_size).int().tolist() == expected

    def test_there_and_back_is_off_by_less_than_a_cell(self, image_size, map_size, dtype) -> None:
        cells = cell_grid(map_size, dtype=dtype)
        rule = PaperRounding()
        results = rule.to_result(rule.to_pixels(cells, image_size, map_size), image_size)
        back = rule.to_cells(results, image_size, map_size)
        assert set((cells - back).unique().tolist()) <= {0.0, 1.0}  # rounded down, a pixel lies in the cell before


def test_paper_rounding_goes_half_to_even() -> None:
    cells = torch.tensor([[1.0, 1.0], [1.0, 3.0]])
    rule = PaperRounding()
    found = rule.to_result(rule.to_pixels(cells, (10, 5), (4, 2)), (10, 5))
    assert found.tolist() == [[2.0, 2.0], [2.0, 8.0]]  # 2.5 and 2.5; 2.5 and 7.5


def test_paper_rounding_cuts_off_fractions_and_stays_on_the_map() -> None:
    points = torch.tensor([[-0.4, -0.5], [96.4, 119.5], [10.99, 0.0]])
    found = PaperRounding().to_cells(points, (120, 97), (120, 97))
    assert found.tolist() == [[0.0, 0.0], [96.0, 119.0], [10.0, 0.0]]


def test_paper_rounding_in_single_precision_would_fall_on_the_other_side() -> None:
    """The sizes hold coordinates at which float32 gives another cell than Python does."""
    wrong = sum(
        int(torch.tensor(float(x)) / side * cells) != coordinate_to_index(x, side, cells)
        for side, cells in ((2400, 300), (1935, 215), (98, 49))
        for x in range(side)
    )
    assert wrong > 0
    for side, cells in ((2400, 300), (1935, 215), (98, 49)):
        points = torch.arange(side, dtype=torch.float32)[:, None].expand(-1, 2)
        found = PaperRounding().to_cells(points, (side, side), (cells, cells))[:, 0].int().tolist()
        assert found == [coordinate_to_index(x, side, cells) for x in range(side)]


@pytest.mark.parametrize(("image_size", "map_size"), SIZES)
def test_pixel_centres_invert_each_other(image_size: tuple[int, int], map_size: tuple[int, int]) -> None:
    points = torch.rand(50, 2, dtype=torch.float64) * torch.tensor([image_size[1], image_size[0]]) - 0.5
    rule = PixelCentres()
    there = rule.to_cells(points, image_size, map_size)
    torch.testing.assert_close(rule.to_pixels(there, image_size, map_size), points)
    corners = torch.tensor([[-0.5, -0.5], [image_size[1] - 0.5, image_size[0] - 0.5]], dtype=torch.float64)
    ends = torch.tensor([[-0.5, -0.5], [map_size[1] - 0.5, map_size[0] - 0.5]], dtype=torch.float64)
    torch.testing.assert_close(rule.to_cells(corners, image_size, map_size), ends)  # the same rectangle


def test_pixel_centres_of_equal_sizes_change_nothing() -> None:
    points = cell_grid((224, 224))
    assert torch.equal(PixelCentres().to_cells(points, (224, 224), (224, 224)), points)
    assert torch.equal(PixelCentres().to_pixels(points, (224, 224), (224, 224)), points)
    assert torch.equal(PixelCentres().to_result(points + 0.3, (224, 224)), points + 0.3)


def test_cells_of_any_leading_shape() -> None:
    points = torch.rand(2, 3, 4, 2) * 50
    for rule in (PixelCentres(), PaperRounding()):
        found = rule.to_cells(points, (60, 70), (30, 20))
        assert found.shape == points.shape
        torch.testing.assert_close(found[1, 2], rule.to_cells(points[1, 2], (60, 70), (30, 20)))


def test_cell_grid_goes_row_by_row() -> None:
    assert cell_grid((2, 3)).tolist() == [[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [2, 1]]


def sample_by_hand(features: torch.Tensor, x: float, y: float) -> torch.Tensor:
    _, rows, columns = features.shape
    x, y = min(max(x, 0.0), columns - 1.0), min(max(y, 0.0), rows - 1.0)
    left, top = math.floor(x), math.floor(y)
    right, bottom = min(left + 1, columns - 1), min(top + 1, rows - 1)
    across, down = x - left, y - top
    upper = features[:, top, left] * (1 - across) + features[:, top, right] * across
    lower = features[:, bottom, left] * (1 - across) + features[:, bottom, right] * across
    return upper * (1 - down) + lower * down


@pytest.mark.parametrize("size", [(7, 5), (4, 9), (1, 6), (1, 1)])
def test_sample_map_equals_the_four_neighbours_by_hand(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(3, *size, dtype=torch.float64, generator=generator)
    cells = torch.rand(40, 2, dtype=torch.float64, generator=generator) * 14 - 3  # many lie outside
    expected = torch.stack([sample_by_hand(features, x, y) for x, y in cells.tolist()])
    torch.testing.assert_close(sample_map(features, cells), expected)
    assert sample_map(features, cells.reshape(4, 5, 2, 2)).shape == (4, 5, 2, 3)


@pytest.mark.parametrize("size", [(277, 224), (5, 3)])
def test_sample_map_at_whole_cells_gives_the_map_to_the_last_bit(size: tuple[int, int]) -> None:
    features = torch.randn(2, *size)
    assert torch.equal(sample_map(features, cell_grid(size)), features.flatten(1).T)
    outside = torch.tensor([[-2.0, -1.0], [size[1] + 4.0, size[0] * 1.0]])
    assert torch.equal(sample_map(features, outside), torch.stack([features[:, 0, 0], features[:, -1, -1]]))


@pytest.mark.parametrize(("old", "new"), [((6, 5), (15, 11)), ((9, 9), (4, 5)), ((6, 5), (6, 5))])
def test_sampling_at_pixel_centres_is_bilinear_resizing(old: tuple[int, int], new: tuple[int, int]) -> None:
    features = torch.randn(3, *old, dtype=torch.float64)
    cells = PixelCentres().to_cells(cell_grid(new, dtype=torch.float64), new, old)
    expected = F.interpolate(features[None], size=new, mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(sample_map(features, cells).T.reshape(3, *new), expected)


@pytest.mark.parametrize("cells", [1, 2, 7])
def test_sampling_along_an_axis_as_a_matrix(cells: int) -> None:
    """Products with such matrices read a lattice as sampling point by point does, also beyond the border."""
    columns, rows = torch.linspace(-2.5, cells + 1.3, 9, dtype=torch.float64), torch.tensor([0.25, 1.0, 2.75]).double()
    features = torch.randn(2, 3, cells, dtype=torch.float64)
    lattice = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
    found = bilinear_matrix(rows, 3) @ features @ bilinear_matrix(columns, cells).T
    torch.testing.assert_close(found, sample_map(features, lattice).permute(2, 0, 1))
    torch.testing.assert_close(bilinear_matrix(columns, cells).sum(dim=1), torch.ones(9, dtype=torch.float64))
