"""What the default strategy makes of its evidence."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from bundle.geometry import PixelCentres
from bundle.matching.descriptors import DescriptorPyramid
from bundle.matching.expected_error import expected_error
from bundle.matching.posterior_matcher import Evidence, KnownTemplate, PosteriorMatcher
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
    return matcher.judge([KnownTemplate(pyramid(0), LANDMARKS)], pyramid(0), evidence).expected_error


def test_the_expected_error_is_that_of_the_posterior_at_twice_its_temperature() -> None:
    height = 0.05
    share = 1 / (1 + math.exp(-height / (2 * TEMPERATURE)))  # of the higher peak
    spread = 8.0 * 8 * math.sqrt(share * (1 - share))  # eight cells of eight pixels
    size = float((LANDMARKS.amax(0) - LANDMARKS.amin(0)).norm())
    # The landmarks lie where their own layout expects them, and are similar to themselves.
    by_hand = expected_error(torch.full((3,), spread), torch.zeros(3), torch.ones(3), size)
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
