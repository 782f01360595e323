"""Matching as inference: similarity, geometric prior and local evidence make a posterior, whose mean is the point."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from bundle.geometry import PixelCentres, Size, sample_maps
from bundle.matching.bidirectional import best_cells, match_back
from bundle.matching.descriptors import DescriptorPyramid, normalise_channels
from bundle.matching.expected_error import confidence_of, expected_error
from bundle.matching.geometric_prior import (
    apply_affine,
    extent,
    local_correction,
    penalty,
    robust_affine,
    with_log_prior,
)
from bundle.matching.lattice import Lattice, lattice_pixels
from bundle.matching.posterior import posterior_moments
from bundle.matching.settings import MatchingSettings
from bundle.matching.shape_prior import ShapePrior

#: How far neighbours may turn, stretch and shift a landmark's expected place: the values of the development set.
RIGIDITY = 0.1
DAMPING = 0.3

#: The smallest residual of the affine fit, as a fraction of the layout's size.
SMALLEST_RESIDUAL = 0.005

#: A single landmark, or two close ones, do not say how large the anatomy is: this fraction of the long side at least.
SMALLEST_LAYOUT = 0.1

#: The spread that predicts the error best is that at this many times the temperature: the scales and crops agree with
#: each other more than independent witnesses would, so the posterior itself is too sure of its place.
WIDENING = 2.0

#: The distribution of the layouts counts two thirds of what it says, for points and similarities are no independent
#: witnesses; two rounds, each from the points of the one before.
SHAPE_WEIGHT, SHAPE_ROUNDS = 2 / 3, 2


class KnownTemplate(NamedTuple):
    """One annotated image as the matching needs it.

    Attributes:
        view: its descriptors.
        landmarks: (N, 2), pixels ``(x, y)`` of it.
    """

    view: DescriptorPyramid
    landmarks: Tensor


class KnownLandmarks(NamedTuple):
    """The landmarks as the matching looks for them: from one template, from several, or learned from several.

    Attributes:
        layouts: at least one of shape (N, 2): the landmarks ``(x, y)`` of a template, or the mean of several, in units
            of the image's long side.
        kernels: for each level the descriptors around the landmarks, averaged over the templates, (N, C, patch, patch).
        crop_matrix: (C, C), whitening of the crops' features; None where there are no crops.
        crop_kernels: (N, C, patch, patch), whitened features of crops around the landmarks, averaged; None likewise.
        filters: learned kernels of the fine stage, whose correlations add up to the score: for each level and, last,
            for the crops (N, C, patch, patch); None without training.
        shape: the distribution of the templates' layouts; with the filters.
    """

    layouts: Sequence[Tensor]
    kernels: Sequence[Tensor]
    crop_matrix: Tensor | None = None
    crop_kernels: Tensor | None = None
    filters: Sequence[Tensor] | None = None
    shape: ShapePrior | None = None


class Evidence(NamedTuple):
    """What is known of each landmark after a stage.

    Attributes:
        points: (N, 2), pixels ``(x, y)`` of the query.
        spread: (N,), root mean square radius of the posterior in pixels of the query.
        scores: (N, rows, columns), log-posterior up to a factor, on the grid or lattice of the stage.
        step: pixels of the query from one cell of that to the next.
    """

    points: Tensor
    spread: Tensor
    scores: Tensor
    step: float | Tensor


class CoarseEvidence(NamedTuple):
    """The coarse stage.

    Attributes:
        found: what is known of the landmarks.
        expected: (N, 2), where the prior expects the landmarks, pixels ``(x, y)`` of the query.
    """

    found: Evidence
    expected: Tensor


class Judgement(NamedTuple):
    """How good the points found are.

    Attributes:
        similarity: (N,), cosine similarity to the template landmark.
        back_match_error: (N,), see :meth:`PosteriorMatcher.verify`.
        expected_error: (N,), expected distance from the truth in pixels of the query.
        confidence: (N,), 0 to 1.
        extent: extent of the layout in pixels of the query, which makes errors comparable between images.
    """

    similarity: Tensor
    back_match_error: Tensor
    expected_error: Tensor
    confidence: Tensor
    extent: float


class PosteriorMatcher:
    """Coarse and fine stage of the default strategy.

    Args:
        settings: the settings of the matching.
    """

    def __init__(self, settings: MatchingSettings) -> None:
        self.settings = settings
        self.geometry = PixelCentres()

    def view(self, levels: list[Tensor], size: tuple[int, int]) -> DescriptorPyramid:
        """The descriptors of one image of (height, width) pixels, brought to length one, on the common grid."""
        factor = self.settings.grid / max(size)
        grid = (max(1, round(size[0] * factor)), max(1, round(size[1] * factor)))
        levels = [normalise_channels(level).contiguous() for level in levels]  # as the correlation is fastest
        return DescriptorPyramid(levels, size, grid, self.geometry, self.settings.patch)

    def coarse(self, known: KnownLandmarks, query: DescriptorPyramid) -> CoarseEvidence:
        """Similarity over all scales, and a weak prior from where the other landmarks are.

        Several templates have equal weight: similarities and expected places are averaged. Similarity is linear in
        the landmarks' descriptors, so it is these that are averaged, and more templates cost no more matching.

        Args:
            known: the landmarks.
            query: descriptors of the query.
        """
        similarity = query.similarity(known.kernels)
        cells, _ = best_cells(similarity, k=1)
        points = query.to_pixels(cells[:, 0])
        equal = torch.ones_like(points[:, 0])
        layouts = _in_pixels_of(query, known.layouts)
        expected = mean_of([self._affine(one, points, equal, _layout_size(one, query.size)) for one in layouts])
        for _ in range(self.settings.prior_rounds):
            expected = self.expect(known.layouts, query, self._posterior(similarity, expected, query))
        return CoarseEvidence(self._posterior(similarity, expected, query), expected)

    def expect(self, layouts: Sequence[Tensor], query: DescriptorPyramid, found: Evidence) -> Tensor:
        """Where layouts expect the landmarks, by where all of them were found.

        Args:
            layouts: see :class:`KnownLandmarks`.
            query: descriptors of the query.
            found: what is known of the landmarks.

        Returns:
            (N, 2), pixels ``(x, y)`` of the query.
        """
        return mean_of([self._expect(layout, found, query) for layout in _in_pixels_of(query, layouts)])

    def trust(self, found: Evidence, size: float) -> Tensor:
        """How much each match counts, (N,), 0 to 1, by its spread beside the size of the layout, both on the query."""
        return 1.0 / (1.0 + (found.spread / (self.settings.trusted_spread * size)).square())

    def _affine(self, layout: Tensor, points: Tensor, trust: Tensor, size: float) -> Tensor:
        ridge, smallest = self.settings.affine_ridge, SMALLEST_RESIDUAL * size
        affine = robust_affine(layout, points, trust, ridge=ridge, smallest=smallest)
        return apply_affine(affine, layout)

    def _expect(self, layout: Tensor, found: Evidence, query: DescriptorPyramid) -> Tensor:
        """Expected places on the query: an affine map of the template's layout, corrected by the neighbours."""
        size = _layout_size(layout, query.size)  # once, for a GPU has to be waited for
        trust = self.trust(found, size)
        expected = self._affine(layout, found.points, trust, size)
        reach = self.settings.neighbour_reach * size
        return expected + local_correction(
            layout, found.points - expected, trust, reach=reach, rigidity=RIGIDITY, damping=DAMPING
        )

    def _posterior(self, similarity: Tensor, expected: Tensor, query: DescriptorPyramid) -> Evidence:
        sigma = self.settings.prior_sigma * max(query.grid)
        scores = with_log_prior(similarity, query.to_cells(expected), sigma, self.settings.prior_weight)
        mean, spread = posterior_moments(scores, self.settings.temperature)
        step = max(query.size) / max(query.grid)
        return Evidence(query.to_pixels(mean), spread * step, scores, step)

    def fine(
        self, coarse: Evidence, query: DescriptorPyramid, local: Tensor, origins: Tensor, step: Tensor
    ) -> Evidence:
        """Add the evidence of the crops to the coarse scores.

        Args:
            coarse: what :meth:`coarse` found.
            query: descriptors of the query.
            local: (N, S, S), weighted similarity of each landmark's crop to the template landmark.
            origins: (N, 2), pixel ``(x, y)`` of the query at the centre of each map's first cell.
            step: (2,), pixels of the query from one cell to the next, ``(x, y)``.
        """
        cells = query.to_cells(lattice_pixels(origins, step, local.shape[-1]))
        scores = sample_maps(coarse.scores[:, None], cells, "bicubic")[:, 0] + local
        return self._on_lattice(scores, origins, step)

    def learned(
        self, coarse: CoarseEvidence, query: DescriptorPyramid, lattice: Lattice, known: KnownLandmarks
    ) -> Evidence:
        """The fine stage of a trained model: learned kernels, and the distribution of the layouts as the prior.

        Args:
            coarse: what :meth:`coarse` gave.
            query: descriptors of the query.
            lattice: the places around the coarse points, and what the query shows there.
            known: the landmarks, with filters and shape.
        """
        assert known.filters is not None and known.shape is not None
        prior = self.coarse_prior(coarse, query, lattice)
        return self.settle(lattice.scores(known.filters), prior, lattice, known.shape)

    def plain_filters(self, known: KnownLandmarks) -> list[Tensor]:
        """The kernels such that their correlations add up to the score, for each level and, last, for the crops."""
        area = self.settings.patch**2
        filters = [kernel / (area * len(known.kernels)) for kernel in known.kernels]
        if known.crop_kernels is None:
            return filters
        return [*filters, known.crop_kernels * (self.settings.local_weight / area)]

    def settle(self, scores: Tensor, prior: Tensor, lattice: Lattice, shape: ShapePrior) -> Evidence:
        """Points from scores and the coarse prior, then, twice, from scores and where all other points expect each.

        Args:
            scores: (N, S, S), without any prior.
            prior: (N, S, S), that of the coarse stage.
            lattice: the places of both.
            shape: the distribution of the layouts.
        """
        found = self._on_lattice(scores + prior, lattice.origins, lattice.step)
        for _ in range(SHAPE_ROUNDS):
            prior = self.settings.temperature * SHAPE_WEIGHT * lattice.log_gaussian(*shape.expect(found.points))
            found = self._on_lattice(scores + prior, lattice.origins, lattice.step)
        return found

    def coarse_prior(self, coarse: CoarseEvidence, query: DescriptorPyramid, lattice: Lattice) -> Tensor:
        """The prior of the coarse stage on the lattice: (N, S, S)."""
        sigma = self.settings.prior_sigma * max(query.size)
        away = (lattice.pixels - coarse.expected[:, None, None].to(lattice.pixels.dtype)) / sigma
        return penalty(away.square().sum(dim=-1), self.settings.prior_weight)

    def _on_lattice(self, scores: Tensor, origins: Tensor, step: Tensor) -> Evidence:
        mean, spread = posterior_moments(scores, self.settings.temperature)
        return Evidence(origins + mean * step, spread * step.mean(), scores, step.mean())

    def judge(
        self, known: KnownLandmarks, templates: Sequence[KnownTemplate], query: DescriptorPyramid, found: Evidence
    ) -> Judgement:
        """How good the points found are.

        Args:
            known: the landmarks.
            templates: the annotated images to match back to; none where the model holds none.
            query: descriptors of the query.
            found: what the last stage gave.
        """
        similarity, back = self.verify(known.kernels, templates, query, found.points)
        size = _layout_size(found.points, query.size)
        wide = posterior_moments(found.scores, WIDENING * self.settings.temperature).spread * found.step
        error = expected_error(wide, similarity, size)
        if self.settings.error_factors is not None:
            error = error * torch.tensor(self.settings.error_factors, dtype=error.dtype, device=error.device)
        return Judgement(similarity, back, error, confidence_of(error, size), size)

    def verify(
        self, kernels: Sequence[Tensor], templates: Sequence[KnownTemplate], query: DescriptorPyramid, points: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Similarity and back-matching error of the points found.

        Args:
            kernels: for each level the landmarks' descriptors.
            templates: the annotated images to match back to.
            query: descriptors of the query.
            points: (N, 2), pixels ``(x, y)`` of the query.

        Returns:
            (N,) cosine similarity, and (N,) distance between each landmark and the place to which its point matches
            back (paper, section 2.2), in pixels of the first template; means over the templates, NaN without one.
        """
        here = query.describe(points)
        similarity = torch.stack([(a * b).sum(dim=1).mean(dim=(-2, -1)) for a, b in zip(here, kernels)]).mean(dim=0)
        if not templates:
            return similarity, torch.full_like(similarity, torch.nan)
        first = max(templates[0].view.size)
        back = [
            (match_back(view, here) - landmarks).norm(dim=1) * (first / max(view.size)) for view, landmarks in templates
        ]
        return similarity, mean_of(back).to(similarity.dtype)


def _in_pixels_of(query: DescriptorPyramid, layouts: Sequence[Tensor]) -> list[Tensor]:
    """Layouts, (N, 2) each, as if their images had as many pixels along the long side as the query.

    Lengths on a template and on the query can then be compared, however many pixels either has.
    """
    return [layout * max(query.size) for layout in layouts]


def _layout_size(points: Tensor, image: Size) -> float:
    return max(extent(points), SMALLEST_LAYOUT * max(image))


def mean_of(tensors: Sequence[Tensor]) -> Tensor:
    """The mean of tensors of equal shape."""
    return tensors[0] if len(tensors) == 1 else torch.stack(list(tensors)).mean(dim=0)
