"""The paper's strategy, step by step (sections 2.1 and 2.2)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from bundle.inferers.base import OneShotInferer
from bundle.matching.bidirectional import Matches
from bundle.matching.confidence import confidence
from bundle.matching.descriptors import DescriptorPyramid, normalise_channels
from bundle.matching.fusion import fuse
from bundle.matching.paper_matcher import PaperMatcher, stack_matches
from bundle.matching.settings import MatchingSettings
from bundle.networks import OneShotNetwork
from bundle.networks.windows import Windows, clipped_window
from bundle.template import Template


class _Known(NamedTuple):
    """The template as the matching needs it."""

    landmarks: Tensor  # (N, 2), pixels (x, y)
    view: DescriptorPyramid
    crops: list[
        tuple[Tensor, Tensor]
    ]  # a landmark's fused features (C, h, w) of length one, and the crop's origin (2,)


class PaperInferer(OneShotInferer):
    """Coarse-to-fine matching with bidirectional matching on whole pixels.

    Args:
        template: the annotated image.
        settings: the settings of the matching.
    """

    matcher: PaperMatcher

    def __init__(self, template: Template, settings: MatchingSettings) -> None:
        super().__init__(template, settings)
        self.matcher = PaperMatcher(settings)

    def describe_template(self, network: OneShotNetwork, device: torch.device) -> _Known:
        """See :class:`OneShotInferer`."""
        image, landmarks = self.template_tensors(device)
        view = self.view(image, network)
        return _Known(landmarks, view, self._fused(image, landmarks, view, network))

    def find(self, image: Tensor, network: OneShotNetwork, known: _Known) -> Tensor:
        """See :class:`OneShotInferer`."""
        query = self.view(image, network)
        matches = self.matcher.coarse(known.view, known.landmarks, query)
        if known.crops:
            fused = self._fused(image, matches.points, query, network)
            matches = stack_matches(
                [
                    self.matcher.fine(*template_crop, landmark, *query_crop)
                    for template_crop, landmark, query_crop in zip(known.crops, known.landmarks, fused)
                ]
            )
        return self._prediction(matches)

    def _prediction(self, matches: Matches) -> Tensor:
        spread = torch.zeros_like(matches.similarity)  # a maximum has no width
        trust = confidence(matches.similarity, matches.back_match_error / max(self.template.size), spread)
        columns = [matches.similarity, matches.back_match_error, spread, trust]
        return torch.cat([matches.points, torch.stack(columns, dim=1)], dim=1)

    def _fused(
        self, image: Tensor, centres: Tensor, view: DescriptorPyramid, network: OneShotNetwork
    ) -> list[tuple[Tensor, Tensor]]:
        """The fused features of the crop around each point, of length one, and the crops' origins."""
        if network.local_decoder is None:
            return []
        windows = [clipped_window(image[0], centre, network.settings.local_window) for centre in centres]
        maps = _decode_in_batches(windows, network)
        return [
            (normalise_channels(fuse(local, view.levels[0], window.origins[0], view.size)), window.origins[0])
            for local, window in zip(maps, windows)
        ]


def _decode_in_batches(windows: list[Windows], network: OneShotNetwork) -> list[Tensor]:
    """Local features of crops; those of equal size, all but the few at the border, go through as one batch."""
    by_size: dict[tuple[int, ...], list[int]] = {}
    for index, window in enumerate(windows):
        by_size.setdefault(tuple(window.crops.shape[-2:]), []).append(index)
    maps: dict[int, Tensor] = {}
    for size, indices in by_size.items():
        crops = torch.cat([windows[index].crops for index in indices])
        decoded = network.decode_local(network.encode_local(crops), (size[0], size[1]))
        maps.update(zip(indices, decoded))
    return [maps[index] for index in range(len(windows))]
