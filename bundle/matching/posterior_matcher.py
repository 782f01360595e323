"""Matching as inference: similarity, geometric prior and local evidence make a posterior, whose mean is the point."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from bundle.geometry import PixelCentres, cell_grid
from bundle.matching.bidirectional import best_cells, match_back
from bundle.matching.descriptors import DescriptorPyramid
from bundle.matching.fusion import sample_scores
from bundle.matching.geometric_prior import apply_affine, extent, local_correction, log_prior, robust_affine
from bundle.matching.posterior import posterior_moments
from bundle.matching.settings import MatchingSettings

#: How far neighbours may turn, stretch and shift a landmark's expected place: the values of the development set.
RIGIDITY = 0.1
DAMPING = 0.3


class Evidence(NamedTuple):
    """What is known of each landmark after a stage.

    Attributes:
        points: (N, 2), pixels ``(x, y)`` of the query.
        spread: (N,), root mean square radius of the posterior in pixels of the query.
        scores: (N, rows, columns), log-posterior up to a factor, on the query's grid.
    """

    points: Tensor
    spread: Tensor
    scores: Tensor


class PosteriorMatcher:
    """Coarse and fine stage of the default strategy.

    Args:
        settings: the settings of the matching.
    """

    def __init__(self, settings: MatchingSettings) -> None:
        self.settings = settings
        self.geometry = PixelCentres()

    def view(self, levels: list[Tensor], size: tuple[int, int]) -> DescriptorPyramid:
        """The descriptors of one image of (height, width) pixels on the common grid."""
        factor = self.settings.grid / max(size)
        grid = (max(1, round(size[0] * factor)), max(1, round(size[1] * factor)))
        return DescriptorPyramid(levels, size, grid, self.geometry, self.settings.patch)

    def coarse(self, template: DescriptorPyramid, landmarks: Tensor, query: DescriptorPyramid) -> Evidence:
        """Similarity over all scales, and a weak prior from where the other landmarks are.

        Args:
            template: descriptors of the template.
            landmarks: (N, 2), pixels ``(x, y)`` of the template.
            query: descriptors of the query.
        """
        similarity = query.similarity(template.describe(landmarks))
        cells, _ = best_cells(similarity, k=1)
        expected = self._affine(landmarks, query.to_pixels(cells[:, 0]), torch.ones(len(landmarks)))
        for _ in range(self.settings.prior_rounds):
            found = self._posterior(similarity, expected, query)
            expected = self._expect(landmarks, found)
        return self._posterior(similarity, expected, query)

    def _affine(self, landmarks: Tensor, points: Tensor, trust: Tensor) -> Tensor:
        affine = robust_affine(landmarks, points, trust.to(landmarks.device), ridge=self.settings.affine_ridge)
        return apply_affine(affine, landmarks)

    def _expect(self, landmarks: Tensor, found: Evidence) -> Tensor:
        """Expected places on the query: an affine map of the template's layout, corrected by the neighbours."""
        size = extent(landmarks)
        trust = 1.0 / (1.0 + (found.spread / (self.settings.trusted_spread * size)).square())
        expected = self._affine(landmarks, found.points, trust)
        reach = self.settings.neighbour_reach * size
        return expected + local_correction(
            landmarks, found.points - expected, trust, reach=reach, rigidity=RIGIDITY, damping=DAMPING
        )

    def _posterior(self, similarity: Tensor, expected: Tensor, query: DescriptorPyramid) -> Evidence:
        sigma = self.settings.prior_sigma * max(query.grid)
        scores = similarity + log_prior(query.to_cells(expected), sigma, self.settings.prior_weight, query.grid)
        mean, spread = posterior_moments(scores, self.settings.temperature)
        return Evidence(query.to_pixels(mean), spread * max(query.size) / max(query.grid), scores)

    def fine(
        self, coarse: Evidence, query: DescriptorPyramid, local: Tensor, origins: Tensor, step: Tensor
    ) -> Evidence:
        """Add the evidence of the crops to the coarse scores.

        Args:
            coarse: what :meth:`coarse` gave.
            query: descriptors of the query.
            local: (N, S, S), weighted similarity of each landmark's crop to the template landmark.
            origins: (N, 2), pixel ``(x, y)`` of the query at the centre of each map's first cell.
            step: (2,), pixels of the query from one cell to the next, ``(x, y)``.
        """
        side = local.shape[-1]
        pixels = cell_grid((side, side), dtype=local.dtype, device=local.device).reshape(1, side, side, 2)
        pixels = origins[:, None, None] + pixels * step
        scores = sample_scores(coarse.scores, query.to_cells(pixels)) + local
        mean, spread = posterior_moments(scores, self.settings.temperature)
        return Evidence(origins + mean * step, spread * step.mean(), coarse.scores)

    def verify(
        self, template: DescriptorPyramid, landmarks: Tensor, query: DescriptorPyramid, points: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Similarity and back-matching error of the points found.

        Args:
            template: descriptors of the template.
            landmarks: (N, 2), pixels ``(x, y)`` of the template.
            query: descriptors of the query.
            points: (N, 2), pixels ``(x, y)`` of the query.

        Returns:
            (N,) cosine similarity, and (N,) distance in pixels of the template between each landmark and the place to
            which its point matches back (paper, section 2.2).
        """
        here, there = query.describe(points), template.describe(landmarks)
        similarity = torch.stack([(a * b).sum(dim=1).mean(dim=(-2, -1)) for a, b in zip(here, there)]).mean(dim=0)
        return similarity, (match_back(template, here) - landmarks).norm(dim=1)
