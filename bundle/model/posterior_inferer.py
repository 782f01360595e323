"""The default strategy: all evidence is weighed together."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from bundle.geometry import PixelCentres
from bundle.matching.local_kernels import kernel_similarity, kernels_at
from bundle.matching.posterior_matcher import KnownTemplate, PosteriorMatcher, mean_of
from bundle.matching.settings import MatchingSettings
from bundle.model.crop_batches import crops_at_a_time
from bundle.model.inferer import OneShotInferer, template_tensors
from bundle.networks import OneShotNetwork
from bundle.networks.local_view import LocalCrops, local_crops
from bundle.networks.whitening import inverse_power
from bundle.records.errors import ConfigError
from bundle.records.template import Template

#: The features of crops are whitened by the covariance of the template's own crops.
LOCAL_POWER = 0.5
LOCAL_SHRINKAGE = 0.05


#: Numbers that an encoder holds for each number of its result while it works: a transformer's perceptron alone has four
#: times the channels, before and after its nonlinearity; the rest is for attention and what waits.
ACTIVATIONS_OF_A_CELL = 16


class _LocalKnown(NamedTuple):
    """The landmarks' surroundings at the resolution of the crops, averaged over the templates."""

    matrix: Tensor  # (C, C), whitening of the crops' features
    kernels: Tensor  # (N, C, patch, patch), whitened features around the landmarks
    decoded: Tensor | None  # (N, C'), decoded features of the landmarks, of length one


class _Known(NamedTuple):
    """The templates as the matching needs them."""

    templates: list[KnownTemplate]
    local: _LocalKnown | None


class PosteriorInferer(OneShotInferer):
    """Similarity at several scales, a geometric prior, crops at high resolution, and the mean of the posterior.

    Args:
        template: the annotated image.
        settings: the settings of the matching.
        crop_memory_gb: see :class:`OneShotInferer`.

    Raises:
        ConfigError: when there is not one error factor a landmark.
    """

    matcher: PosteriorMatcher

    def __init__(self, template: Template, settings: MatchingSettings, crop_memory_gb: float | None = None) -> None:
        super().__init__(template, settings, crop_memory_gb)
        factors, count = settings.error_factors, len(template.landmarks)
        if factors is not None and len(factors) != count:
            raise ConfigError(
                f"matching.error_factors has {len(factors)} numbers for {count} landmarks: calibrate this model again."
            )
        self.matcher = PosteriorMatcher(settings)

    def describe_template(self, network: OneShotNetwork, device: torch.device) -> _Known:
        """See :class:`OneShotInferer`."""
        pairs = [template_tensors(template, device) for template in self.template.all]
        local = self._describe_crops(pairs, network) if self.settings.uses_crops else None
        return _Known([KnownTemplate(self.view(image, network), landmarks) for image, landmarks in pairs], local)

    def find(self, image: Tensor, network: OneShotNetwork, known: _Known) -> Tensor:
        """See :class:`OneShotInferer`."""
        query = self.view(image, network)
        evidence = self.matcher.coarse(known.templates, query)
        if known.local is not None:
            crops = local_crops(image, evidence.points, network.settings)
            scores = self._local_scores(crops, known.local, network)
            evidence = self.matcher.fine(evidence, query, scores, *crops.lattice(scores.shape[-1]))
        found = self.matcher.judge(known.templates, query, evidence)
        points, limit = evidence.points, self.settings.missing_above
        if limit is not None:
            points = points.masked_fill((found.expected_error > limit * found.extent)[:, None], torch.nan)
        columns = [found.similarity, found.back_match_error, evidence.spread, found.confidence, found.expected_error]
        return torch.cat([points, torch.stack(columns, dim=1)], dim=1)

    def _describe_crops(self, templates: list[tuple[Tensor, Tensor]], network: OneShotNetwork) -> _LocalKnown:
        crops = [local_crops(image, landmarks, network.settings) for image, landmarks in templates]
        encoded = [self._encoded(one, network) for one in crops]
        rows = torch.cat(encoded)
        centred = (rows - rows.mean(dim=(-2, -1), keepdim=True)).transpose(0, 1).flatten(1)
        matrix = inverse_power(centred @ centred.T / centred.shape[1], LOCAL_POWER, LOCAL_SHRINKAGE)
        window, kernels, decoded = network.settings.local_window, [], []
        for (_, landmarks), one, features in zip(templates, crops, encoded):
            maps = _whitened(features, matrix)
            inside = PixelCentres().to_cells(one.to_crop(landmarks), (window, window), (maps.shape[-2], maps.shape[-1]))
            kernels.append(kernels_at(maps, inside, self.settings.patch))
            if network.local_decoder is not None:
                decoded.append(one.sample(network.decode_local(features, network.settings.decoded_crop), landmarks))
        return _LocalKnown(matrix, mean_of(kernels), mean_of(decoded) if decoded else None)

    def _encoded(self, crops: LocalCrops, network: OneShotNetwork) -> Tensor:
        """Frozen features of all crops, (N, C, h, w), a batch within the budget of memory at a time."""
        cells = (crops.images.shape[-1] // network.encoder.stride) ** 2
        numbers = ACTIVATIONS_OF_A_CELL * network.encoder.channels * cells
        batch = crops_at_a_time(numbers, crops.images.device, self.crop_memory_gb)
        return torch.cat([network.encode_local(part) for part in crops.images.split(batch)])

    def _local_scores(self, crops: LocalCrops, known: _LocalKnown, network: OneShotNetwork) -> Tensor:
        """Weighted similarity of each landmark's crop to the landmark: (N, S, S)."""
        features = self._encoded(crops, network)
        side = network.settings.decoded_crop[0]
        scores = kernel_similarity(_whitened(features, known.matrix), known.kernels, side) * self.settings.local_weight
        if known.decoded is not None and self.settings.decoder_weight:
            maps = F.normalize(network.decode_local(features, network.settings.decoded_crop), dim=1)
            scores = scores + torch.einsum("nc,nchw->nhw", known.decoded, maps) * self.settings.decoder_weight
        return scores


def _whitened(features: Tensor, matrix: Tensor) -> Tensor:
    """Features of crops, each crop's mean removed, whitened, of length one: (N, C, h, w)."""
    centred = features - features.mean(dim=(-2, -1), keepdim=True)
    return F.normalize(torch.einsum("dc,nchw->ndhw", matrix, centred), dim=1)
