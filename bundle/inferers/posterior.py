"""The default strategy: all evidence is weighed together."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from bundle.inferers.base import OneShotInferer
from bundle.matching.confidence import confidence
from bundle.matching.descriptors import DescriptorPyramid
from bundle.matching.posterior_matcher import PosteriorMatcher
from bundle.matching.settings import MatchingSettings
from bundle.networks import OneShotNetwork
from bundle.networks.local_view import local_crops
from bundle.template import Template


class _Known(NamedTuple):
    """The template as the matching needs it."""

    landmarks: Tensor  # (N, 2), pixels (x, y)
    view: DescriptorPyramid
    local: Tensor | None  # (N, C), local descriptors of the landmarks, of length one


class PosteriorInferer(OneShotInferer):
    """Similarity at several scales, a weak geometric prior, local evidence, and the mean of the posterior.

    Args:
        template: the annotated image.
        settings: the settings of the matching.
    """

    def __init__(self, template: Template, settings: MatchingSettings) -> None:
        super().__init__(template, settings)
        self.matcher = PosteriorMatcher(settings)

    def describe_template(self, network: OneShotNetwork, device: torch.device) -> _Known:
        """See :class:`OneShotInferer`."""
        image, landmarks = self.template_tensors(device)
        local = None
        if network.local_decoder is not None:
            crops = local_crops(image, landmarks, network.settings)
            descriptors = network.decode_local(network.encode_local(crops.images), network.settings.decoded_crop)
            local = crops.sample(descriptors, landmarks)
        return _Known(landmarks, self._view(image, network), local)

    def find(self, image: Tensor, network: OneShotNetwork, known: _Known) -> Tensor:
        """See :class:`OneShotInferer`."""
        query = self._view(image, network)
        evidence = self.matcher.coarse(known.view, known.landmarks, query)
        if known.local is not None:
            crops = local_crops(image, evidence.points, network.settings)
            descriptors = network.decode_local(network.encode_local(crops.images), network.settings.decoded_crop)
            local = torch.einsum("nc,nchw->nhw", known.local, F.normalize(descriptors, dim=1))
            evidence = self.matcher.fine(evidence, query, local, *crops.lattice(local.shape[-1]))
        similarity, back = self.matcher.verify(known.view, known.landmarks, query, evidence.points)
        trust = confidence(similarity, back / max(self.template.size), evidence.spread / max(query.size))
        return torch.cat([evidence.points, torch.stack([similarity, back, evidence.spread, trust], dim=1)], dim=1)

    def _view(self, image: Tensor, network: OneShotNetwork) -> DescriptorPyramid:
        size = (image.shape[-2], image.shape[-1])
        levels = network.decode_global(network.encode_global(image), network.global_sizes(size))
        return self.matcher.view([level[0] for level in levels], size)
