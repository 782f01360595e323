import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bundle.errors import ConfigError
from bundle.geometry import PaperRounding, PixelCentres, cell_grid
from bundle.matching.bidirectional import (
    Candidates,
    Matches,
    best_cells,
    bidirectional_candidates,
    peak_offsets,
    select_matches,
)
from bundle.matching.descriptors import DescriptorPyramid, normalise_channels
from bundle.matching.paper_matcher import PaperMatcher
from bundle.matching.settings import MatchingSettings
from tests.reference.matching import bidirectional_match, cosine_map, index_to_pixel, ranked


def random_features(seed: int, *shape: int) -> Tensor:
    """A smooth map, so that the best places are close to each other, in double precision."""
    noise = torch.randn(1, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return F.avg_pool2d(noise, 3, stride=1, padding=1)[0]


def corners_and_inside(size: tuple[int, int]) -> list[tuple[int, int]]:
    height, width = size
    return [
        *itertools.product((0, width - 1), (0, height - 1)),
        (width // 2, 0),
        (0, height // 3),
        (width // 2, height // 2),
        (width // 3, height - 2),
    ]


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize(
    ("landmarks", "template_size", "template_map", "query_size", "query_map"),
    [
        (corners_and_inside((120, 97)), (120, 97), (40, 32), (97, 131), (32, 43)),
        (corners_and_inside((240, 193)), (240, 193), (17, 14), (241, 200), (19, 16)),
        (corners_and_inside((31, 33)), (31, 33), (31, 33), (40, 25), (40, 25)),
        # between pixels: cut off for the cell, but not for the distance
        ([(30.9, 20.4), (0.3, 0.7), (96.4, 119.5), (50.5, 119.0)], (120, 97), (20, 16), (121, 99), (22, 17)),
    ],
)
def test_coarse_stage_equals_equation_2(
    landmarks: list[tuple[float, float]],
    template_size: tuple[int, int],
    template_map: tuple[int, int],
    query_size: tuple[int, int],
    query_map: tuple[int, int],
    k: int,
) -> None:
    template, query = random_features(1, 8, *template_map), random_features(2, 8, *query_map)
    matcher = PaperMatcher(MatchingSettings(strategy="paper", k=k, subpixel=False))
    known = matcher.view([normalise_channels(template)], template_size)
    found = matcher.coarse(
        known,
        torch.tensor(landmarks, dtype=torch.float64),
        matcher.view([normalise_channels(query)], query_size),
    )
    expected = [bidirectional_match(template, query, point, k, template_size, query_size) for point in landmarks]
    assert found.points.tolist() == [[match.x, match.y] for match in expected]
    torch.testing.assert_close(found.similarity.tolist(), [match.similarity for match in expected])
    torch.testing.assert_close(found.back_match_error.tolist(), [match.error for match in expected])


@pytest.mark.parametrize("k", [1, 3, 5])
def test_fine_stage_equals_equation_2_on_crops(k: int) -> None:
    matcher = PaperMatcher(MatchingSettings(strategy="paper", k=k, subpixel=False))
    found, expected = [], []
    crops = [
        ((24, 24), (24, 24)),
        ((12, 24), (24, 24)),
        ((24, 12), (17, 24)),
        ((12, 12), (13, 19)),
        ((21, 23), (19, 9)),
    ]
    for seed, (template_size, query_size) in enumerate(crops):
        template, query = random_features(seed, 8, *template_size), random_features(seed + 50, 8, *query_size)
        for x, y in corners_and_inside(template_size):
            left, top = 30 + seed, 7 * seed
            found.append(
                matcher.fine(
                    normalise_channels(template),
                    torch.tensor([left, top], dtype=torch.float64),
                    torch.tensor([x + left, y + top], dtype=torch.float64),
                    normalise_channels(query),
                    torch.tensor([100, 200], dtype=torch.float64),
                )
            )
            match = bidirectional_match(template, query, (x, y), k, None, None)
            expected.append(match._replace(x=match.x + 100, y=match.y + 200))
    matches = Matches(*(torch.cat(parts) for parts in zip(*found)))
    assert matches.points.tolist() == [[match.x, match.y] for match in expected]
    torch.testing.assert_close(matches.similarity.tolist(), [match.similarity for match in expected])
    torch.testing.assert_close(matches.back_match_error.tolist(), [match.error for match in expected])


def test_a_candidate_is_matched_back_from_its_own_cell() -> None:
    """The pixel of a result lies, by the paper's rounding, mostly in the cell before: its feature is another's."""
    template_map, image = (9, 9), (78, 78)
    cells = cell_grid(template_map, dtype=torch.float64)
    rule = PaperRounding()
    results = rule.to_result(rule.to_pixels(cells, image, template_map), image)
    assert not torch.equal(rule.to_cells(results, image, template_map), cells)
    features = normalise_channels(random_features(7, 16, *template_map))
    view = DescriptorPyramid([features], image, template_map, rule)
    for kernels, cell in zip(view.describe_cells(cells)[0], cells.long().tolist()):
        assert torch.equal(kernels[:, 0, 0], features[:, cell[1], cell[0]])
    similarity = torch.einsum("cn,chw->nhw", features.flatten(1), features)
    candidates = bidirectional_candidates(view, rule.to_pixels(cells, image, template_map), view, similarity, k=1)
    assert torch.equal(candidates.cells[:, 0], cells)
    assert torch.count_nonzero(candidates.back_match_error) == 0  # an image matched to itself


@pytest.mark.parametrize("size", [(5, 7), (1, 9), (6, 1)])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_best_cells_are_the_first_of_the_ranking(size: tuple[int, int], k: int) -> None:
    similarity = torch.rand(4, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    cells, values = best_cells(similarity, k)
    for line, cell, value in zip(similarity, cells, values):
        expected = ranked(line.tolist())[:k]
        assert cell.tolist() == [[column, row] for _, row, column in expected]
        assert value.tolist() == [similarity for similarity, _, _ in expected]


def test_more_candidates_than_cells_are_all_cells() -> None:
    cells, values = best_cells(torch.rand(2, 2, 2), k=9)
    assert cells.shape == (2, 4, 2)
    assert sorted(cells[0].tolist()) == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert torch.equal(values, values.sort(dim=1, descending=True).values)


def test_of_equal_distances_the_more_similar_wins() -> None:
    candidates = Candidates(
        cells=torch.arange(24.0).reshape(3, 4, 2),
        similarity=torch.tensor([0.9, 0.8, 0.7, 0.6]).expand(3, -1),
        back_match_error=torch.tensor([[5.0, 2.0, 2.0, 2.0], [1.0, 1.0, 1.0, 1.0], [4.0, 3.0, 9.0, 0.0]]),
    )
    query = DescriptorPyramid([], (24, 24), (24, 24), PixelCentres())
    matches = select_matches(candidates, query, torch.zeros(3, 24, 24))
    torch.testing.assert_close(matches.similarity, torch.tensor([0.8, 0.9, 0.6]))
    assert matches.points.tolist() == [[2.0, 3.0], [8.0, 9.0], [22.0, 23.0]]
    assert matches.back_match_error.tolist() == [2.0, 1.0, 0.0]


def test_the_candidate_nearest_to_the_landmark_wins_over_the_most_similar() -> None:
    """Two places of the query look like the landmark; the better one matches back to its double on the template."""
    landmark, double = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.995, 0.0998, 0.0])
    template, query = (torch.tensor([0.0, 0.0, 1.0])[:, None, None].repeat(1, 6, 6) for _ in range(2))
    template[:, 1, 1], template[:, 4, 4] = landmark, double
    query[:, 5, 0], query[:, 2, 3] = double * 1.0, torch.tensor([0.98, -0.199, 0.0])
    found = []
    for k in (1, 2):
        matcher = PaperMatcher(MatchingSettings(strategy="paper", k=k, subpixel=False))
        views = [matcher.view([normalise_channels(features)], (6, 6)) for features in (template, query)]
        found.append(matcher.coarse(views[0], torch.tensor([[1.0, 1.0]]), views[1]).points[0].tolist())
    assert found == [[0.0, 5.0], [3.0, 2.0]]


def test_similarity_is_the_cosine() -> None:
    template, query = random_features(1, 8, 9, 7), random_features(2, 8, 6, 10)
    view = DescriptorPyramid([normalise_channels(query)], (60, 100), (6, 10), PaperRounding())
    kernel = normalise_channels(template)[:, 3, 4].reshape(1, 8, 1, 1)
    expected = torch.tensor(cosine_map(query, template[:, 3, 4]), dtype=torch.float64)
    torch.testing.assert_close(view.similarity([kernel])[0], expected)


def test_the_papers_matching_refuses_several_scales() -> None:
    with pytest.raises(ConfigError, match=r"one scale, got 2: give network\.working_sides one"):
        PaperMatcher(MatchingSettings(strategy="paper", subpixel=False)).view([torch.rand(3, 4, 4)] * 2, (40, 40))


def test_pixels_of_cells_by_the_rule() -> None:
    view = PaperMatcher(MatchingSettings(strategy="paper", subpixel=False)).view([torch.rand(3, 7, 5)], (120, 97))
    cells = cell_grid((7, 5))
    expected = [[index_to_pixel(int(x), 97, 5), index_to_pixel(int(y), 120, 7)] for x, y in cells.tolist()]
    assert view.to_result(cells).tolist() == expected


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
