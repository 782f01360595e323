"""Matching as in the paper, sections 2.1 and 2.2, on whole pixels as in its public code or between them."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from bundle.errors import ConfigError
from bundle.geometry import CellGeometry, PaperRounding, PixelCentres, Size, bilinear_matrix
from bundle.matching.bidirectional import Matches, bidirectional_candidates, select_matches
from bundle.matching.descriptors import DescriptorPyramid, normalise_channels
from bundle.matching.settings import MatchingSettings


class PaperMatcher:
    """Coarse and fine stage as in the paper: k candidates, matched back, the nearest wins.

    Args:
        settings: the settings of the matching; of them only ``k`` and ``subpixel`` count.
    """

    def __init__(self, settings: MatchingSettings) -> None:
        self.settings = settings
        self.geometry: CellGeometry = PixelCentres() if settings.subpixel else PaperRounding()

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
        k, subpixel = self.settings.k, self.settings.subpixel
        candidates = bidirectional_candidates(template, landmarks, query, similarity, k, subpixel)
        return select_matches(candidates, query, similarity, subpixel)


def _crop_view(features: Tensor) -> DescriptorPyramid:
    size = (features.shape[-2], features.shape[-1])
    return DescriptorPyramid([features], size, size, PixelCentres(), patch=1)


def fuse(local: Tensor, global_map: Tensor, origins: Tensor, image_size: Size) -> Tensor:
    """Normalised local features plus global features that are upsampled to the full image and then normalised.

    Only the crops' part of the upsampled map is ever computed, from the few cells below each crop.

    Args:
        local: (N, C, h, w), local features of crops of one size at full resolution.
        global_map: (C, H', W'), global features of the whole image, not normalised.
        origins: (N, 2), pixel ``(x, y)`` of the image at each crop's first pixel.
        image_size: (height, width) in pixels of the whole image.

    Returns:
        tensor of shape (N, C, h, w), channels last in memory.
    """
    _, _, height, width = local.shape
    rows, down = _cells_below(origins[:, 1], height, global_map.shape[-2], image_size[0], local)
    columns, across = _cells_below(origins[:, 0], width, global_map.shape[-1], image_size[1], local)
    block = global_map.permute(1, 2, 0)[rows[:, :, None], columns[:, None, :]]  # (N, r, c, C)
    tall = (down @ block.flatten(2)).unflatten(-1, block.shape[2:])
    context = across[:, None] @ tall
    return normalise_channels(local).add_(F.normalize(context, dim=-1, out=context).permute(0, 3, 1, 2))


def _cells_below(origin: Tensor, pixels: int, cells: int, image_side: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Along one axis, the cells that crops lie on, (N, r), and the matrices that upsample them, (N, pixels, r)."""
    ratio = cells / image_side
    count = min(cells, math.ceil(pixels * ratio) + 2)
    offsets = torch.arange(pixels, dtype=torch.float64, device=origin.device)
    positions = ((origin.double()[:, None] + offsets + 0.5) * ratio - 0.5).clamp(0, cells - 1)
    first = positions[:, :1].floor().clamp(max=cells - count)
    below = first.long() + torch.arange(count, device=origin.device)
    return below, bilinear_matrix(positions - first, count).to(like)


def confidence(similarity: Tensor, back_match_error: Tensor) -> Tensor:
    """One number from 0 to 1 for each landmark, larger for a point that is more likely near the truth.

    The similarity, times a factor of agreement both ways, whose square is one half where the point matches back 2 % of
    the long side away from the landmark.

    Args:
        similarity: (N,), cosine similarity.
        back_match_error: (N,), as a fraction of the template's long side.
    """
    agreement = 1.0 / (1.0 + (back_match_error / 0.02).square())
    return similarity.clamp(0.0, 1.0) * torch.sqrt(agreement)
