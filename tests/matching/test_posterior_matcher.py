"""What the default strategy makes of its evidence."""

import math

import pytest
import torch
from torch.nn import functional as F

from bundle.geometry import PixelCentres
from bundle.matching.descriptors import DescriptorPyramid
from bundle.matching.expected_error import expected_error
from bundle.matching.geometric_prior import extent
from bundle.matching.posterior_matcher import Evidence, KnownLandmarks, KnownTemplate, PosteriorMatcher
from bundle.matching.settings import MatchingSettings

SIZE, GRID, TEMPERATURE = (320, 240), (40, 30), 0.015
#: In the centres of cells, so that descriptors read off there are those of the map, of length one.
LANDMARKS = torch.tensor([[59.5, 83.5], [179.5, 91.5], [123.5, 251.5]])


def pyramid(seed: int) -> DescriptorPyramid:
    level = torch.randn(16, *GRID, generator=torch.Generator().manual_seed(seed))
    return DescriptorPyramid([F.normalize(level, dim=0)], SIZE, GRID, PixelCentres(), patch=3)


def two_peaks(height: float) -> torch.Tensor:
    """Scores with a peak at the cell (10, 12) and one that is lower by ``height``, eight cells to the right."""
    scores = torch.full((3, *GRID), -10.0)
    scores[:, 12, 10], scores[:, 12, 18] = 0.0, -height
    return scores


def judged(scores: torch.Tensor, factors: list[float] | None = None) -> torch.Tensor:
    matcher = PosteriorMatcher(MatchingSettings(temperature=TEMPERATURE, error_factors=factors))
    evidence = Evidence(LANDMARKS, torch.ones(3), scores, 8.0)
    template = KnownTemplate(pyramid(0), LANDMARKS)
    return matcher.judge(known_from([template]), [template], template.view, evidence).expected_error


def known_from(templates: list[KnownTemplate]) -> KnownLandmarks:
    described = [view.describe(landmarks) for view, landmarks in templates]
    return KnownLandmarks(
        [landmarks.double() / max(view.size) for view, landmarks in templates],
        [torch.stack(levels).mean(dim=0) for levels in zip(*described)],
    )


def test_the_expected_error_is_that_of_the_posterior_at_twice_its_temperature() -> None:
    height = 0.05
    share = 1 / (1 + math.exp(-height / (2 * TEMPERATURE)))  # of the higher peak
    spread = 8.0 * 8 * math.sqrt(share * (1 - share))  # eight cells of eight pixels
    size = float((LANDMARKS.amax(0) - LANDMARKS.amin(0)).norm())
    # The landmarks are similar to themselves.
    by_hand = expected_error(torch.full((3,), spread), torch.ones(3), size)
    torch.testing.assert_close(judged(two_peaks(height)), by_hand, rtol=2e-2, atol=0, check_dtype=False)


def test_a_second_place_almost_as_good_raises_the_expected_error() -> None:
    near, far = judged(two_peaks(0.02)), judged(two_peaks(0.2))
    assert (near > 3 * far).all()


def test_factors_multiply() -> None:
    plain, twice = judged(two_peaks(0.05)), judged(two_peaks(0.05), [2.0, 1.0, 0.5])
    torch.testing.assert_close(twice, plain * torch.tensor([2.0, 1.0, 0.5]))


@pytest.mark.parametrize("side", [9, 17])
def test_the_fine_stage_hands_on_its_own_scores_and_step(side: int) -> None:
    matcher, query = PosteriorMatcher(MatchingSettings()), pyramid(1)
    coarse = Evidence(LANDMARKS, torch.ones(3), two_peaks(0.05), 8.0)
    step = torch.tensor([2.0, 2.0])
    fine = matcher.fine(coarse, query, torch.zeros(3, side, side), LANDMARKS - step * (side // 2), step)
    assert tuple(fine.scores.shape) == (3, side, side)
    assert float(fine.step) == 2.0


FACTORS = [(1.0, 1.0), (0.25, 1.0), (1.0, 4.0), (0.25, 4.0), (4.0, 0.25), (0.5, 0.5), (0.125, 8.0)]


def layout(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(count)
    return 20.0 + torch.rand(count, 2, dtype=torch.float64, generator=generator) * torch.tensor([200.0, 280.0])


def resampled(points: torch.Tensor, factor: float) -> torch.Tensor:
    return (points + 0.5) * factor - 0.5


def noisy_pair(count: int, of_template: float, of_query: float) -> tuple[list[KnownTemplate], DescriptorPyramid]:
    """Two templates and a query of one anatomy; each has the pixels of its file, which change nothing that is seen."""
    noise = torch.Generator().manual_seed(7)
    level = torch.randn(16, *GRID, dtype=torch.float64, generator=noise)

    def seen(factor: float, share: float) -> DescriptorPyramid:
        changed = level + share * torch.randn(level.shape, dtype=torch.float64, generator=noise)
        size = (round(SIZE[0] * factor), round(SIZE[1] * factor))
        return DescriptorPyramid([F.normalize(changed, dim=0)], size, GRID, PixelCentres(), patch=3)

    query = seen(of_query, 0.7)
    factors = (of_template, 2 * of_template)
    return [KnownTemplate(seen(factor, 0.5), resampled(layout(count), factor)) for factor in factors], query


@pytest.mark.parametrize("count", [1, 2, 3, 19])
@pytest.mark.parametrize(("of_template", "of_query"), FACTORS)
def test_nothing_depends_on_how_many_pixels_an_image_has(count: int, of_template: float, of_query: float) -> None:
    """Trust, expected places, points, expected errors and confidences are those of the images as they are."""
    matcher = PosteriorMatcher(MatchingSettings(temperature=TEMPERATURE))

    def everything(of_template: float, of_query: float) -> list[torch.Tensor]:
        templates, query = noisy_pair(count, of_template, of_query)
        landmarks = known_from(templates)
        found, expected = matcher.coarse(landmarks, query)
        judged = matcher.judge(landmarks, templates, query, found)
        again = matcher.expect(landmarks.layouts, query, found)
        in_cells = [query.to_cells(points) for points in (found.points, expected, again)]
        layouts = [known.landmarks * (max(query.size) / max(known.view.size)) for known in templates]
        trust = [matcher.trust(found, extent(one)) for one in layouts]
        lengths = [length / max(query.size) for length in (found.spread, judged.expected_error)]
        back = judged.back_match_error / max(templates[0].view.size)
        return [*trust, *in_cells, *lengths, back, judged.confidence, judged.similarity]

    for before, after in zip(everything(1.0, 1.0), everything(of_template, of_query)):
        torch.testing.assert_close(after, before, rtol=0, atol=1e-6)


def test_a_match_is_trusted_by_its_spread_beside_the_layout() -> None:
    """By hand: a spread of ``trusted_spread`` times the layout's diagonal on the query counts half."""
    points = resampled(layout(19), 4.0)
    diagonal = float((points.amax(0) - points.amin(0)).norm())
    spread = torch.tensor([0.0, 0.03, 0.09], dtype=torch.float64) * diagonal
    found = Evidence(points[:3], spread, torch.zeros(3, *GRID), 32.0)
    trust = PosteriorMatcher(MatchingSettings(trusted_spread=0.03)).trust(found, diagonal)
    torch.testing.assert_close(trust, torch.tensor([1.0, 0.5, 0.1], dtype=torch.float64))
