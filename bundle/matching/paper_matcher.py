"""Matching as in the paper, sections 2.1 and 2.2, on whole pixels as in its public code or between them."""

import torch
from torch import Tensor

from bundle.errors import ConfigError
from bundle.geometry import CellGeometry, PaperRounding, PixelCentres, Size
from bundle.matching.bidirectional import Matches, bidirectional_candidates, select_matches
from bundle.matching.descriptors import DescriptorPyramid, normalise_channels
from bundle.matching.settings import MatchingSettings
from bundle.matching.subpixel import Offsets, no_offsets, peak_offsets


class PaperMatcher:
    """Coarse and fine stage as in the paper: k candidates, matched back, the nearest wins.

    Args:
        settings: the settings of the matching; of them only ``k`` and ``subpixel`` count.
    """

    def __init__(self, settings: MatchingSettings) -> None:
        self.settings = settings
        self.geometry: CellGeometry = PixelCentres() if settings.subpixel else PaperRounding()
        self.offsets: Offsets = peak_offsets if settings.subpixel else no_offsets

    def view(self, levels: list[Tensor], size: Size) -> DescriptorPyramid:
        """The descriptors of one image of (height, width) pixels, brought to length one; the one map is its own grid.

        Raises:
            ConfigError: when there is more than one scale.
        """
        if len(levels) != 1:
            raise ConfigError(
                f"matching.strategy 'paper' knows one scale, got {len(levels)}: give network.working_sides one size "
                "and set network.negative to false."
            )
        grid = (levels[0].shape[-2], levels[0].shape[-1])
        return DescriptorPyramid([normalise_channels(levels[0])], size, grid, self.geometry, patch=1)

    def coarse(self, template: DescriptorPyramid, landmarks: Tensor, query: DescriptorPyramid) -> Matches:
        """P_c = BDM(F^{G,t}, F^{G,q}): coarse points in pixels ``(x, y)`` of the query."""
        similarity = query.similarity(template.describe(landmarks))
        return self._matches(template, landmarks, query, similarity)

    def fine(
        self,
        template_crop: Tensor,
        template_origin: Tensor,
        landmark: Tensor,
        query_crop: Tensor,
        query_origin: Tensor,
    ) -> Matches:
        """BDM(F_i^{F,t}, F_i^{F,q}) for one landmark.

        Args:
            template_crop: (C, h, w), fused features of the template's crop, of length one at every position.
            template_origin: (2,), pixel ``(x, y)`` of the template at the crop's first pixel.
            landmark: (2,), pixel ``(x, y)`` of the template; cut off to whole pixels unless ``subpixel`` is set.
            query_crop: (C, h', w'), the same for the query.
            query_origin: (2,), the same for the query.

        Returns:
            one match, in pixels of the whole query.
        """
        template, query = _crop_view(template_crop), _crop_view(query_crop)
        inside = ((landmark if self.settings.subpixel else landmark.trunc()) - template_origin)[None]
        similarity = query.similarity(template.describe(inside))
        match = self._matches(template, inside, query, similarity)
        return match._replace(points=match.points + query_origin)

    def _matches(
        self, template: DescriptorPyramid, landmarks: Tensor, query: DescriptorPyramid, similarity: Tensor
    ) -> Matches:
        candidates = bidirectional_candidates(template, landmarks, query, similarity, self.settings.k, self.offsets)
        return select_matches(candidates, query, similarity, self.offsets)


def _crop_view(features: Tensor) -> DescriptorPyramid:
    size = (features.shape[-2], features.shape[-1])
    return DescriptorPyramid([features], size, size, PixelCentres(), patch=1)


def stack_matches(matches: list[Matches]) -> Matches:
    """Matches of single landmarks as one."""
    return Matches(*(torch.cat(parts) for parts in zip(*matches)))


def confidence(similarity: Tensor, back_match_error: Tensor, spread: Tensor) -> Tensor:
    """One number from 0 to 1 for each landmark, larger for a point that is more likely near the truth.

    The similarity, times the geometric mean of two factors: agreement both ways, one half where the point matches back
    2 % of the long side away from the landmark; and sharpness, one half where the posterior is 2 % wide.

    Args:
        similarity: (N,), cosine similarity.
        back_match_error: (N,), as a fraction of the template's long side.
        spread: (N,), radius of the posterior as a fraction of the query's long side.

    Returns:
        tensor of shape (N,).
    """
    agreement = 1.0 / (1.0 + (back_match_error / 0.02).square())
    sharpness = 1.0 / (1.0 + (spread / 0.02).square())
    return similarity.clamp(0.0, 1.0) * torch.sqrt(agreement * sharpness)
