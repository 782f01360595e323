"""The default strategy: all evidence is weighed together."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

from bundle.errors import ConfigError
from bundle.geometry import PixelCentres
from bundle.matching.descriptors import DescriptorPyramid
from bundle.matching.lattice import Lattice, crop_window, level_window
from bundle.matching.local_kernels import kernels_at
from bundle.matching.posterior_matcher import KnownLandmarks, KnownTemplate, PosteriorMatcher, mean_of
from bundle.matching.settings import MatchingSettings
from bundle.model.checkpoint import LearnedLandmarks
from bundle.model.inferer import OneShotInferer, as_columns, crops_at_a_time, reuse_memory, template_tensors
from bundle.networks import OneShotNetwork
from bundle.networks.crops import LocalCrops, local_crops
from bundle.networks.whitening import inverse_power, total_covariance, unit_descriptors
from bundle.records.radiograph import Template

#: The features of crops are whitened by the covariance of the template's own crops.
LOCAL_POWER = 0.5
LOCAL_SHRINKAGE = 0.05


#: Numbers that an encoder holds for each number of its result while it works: a transformer's perceptron alone has four
#: times the channels, before and after its nonlinearity; the rest is for attention and what waits.
ACTIVATIONS_OF_A_CELL = 16


class DescribedTemplates(NamedTuple):
    """What training and matching need of the templates' images.

    Attributes:
        views: for each template its descriptors and landmarks.
        kernels: for each template, for each level, the descriptors around its landmarks, (N, C, patch, patch).
        crop_matrix: (C, C), whitening of crops, from the crops of all templates; None without crops.
        crop_kernels: for each template (N, C, patch, patch), whitened features around its landmarks.
        decoded: for each template (N, C'), decoded features of its landmarks, where the network decodes crops.
    """

    views: list[KnownTemplate]
    kernels: list[list[Tensor]]
    crop_matrix: Tensor | None
    crop_kernels: list[Tensor]
    decoded: list[Tensor]

    def landmarks(self, chosen: Sequence[int] | None = None) -> KnownLandmarks:
        """What several templates say of the landmarks, with equal weight.

        Args:
            chosen: numbers of the templates; None for all.
        """
        chosen = range(len(self.views)) if chosen is None else chosen
        return KnownLandmarks(
            [self.views[index].landmarks.double() / max(self.views[index].view.size) for index in chosen],
            [mean_of(levels) for levels in zip(*(self.kernels[index] for index in chosen))],
            self.crop_matrix,
            mean_of([self.crop_kernels[index] for index in chosen]) if self.crop_kernels else None,
        )


class _Known(NamedTuple):
    """The templates as the matching needs them."""

    landmarks: KnownLandmarks
    views: list[KnownTemplate]  # to match back to
    decoded: Tensor | None


class PosteriorInferer(OneShotInferer):
    """Similarity at several scales, a geometric prior, crops at high resolution, and the mean of the posterior.

    Args:
        template: the annotated image.
        settings: the settings of the matching.
        crop_memory_gb: see :class:`OneShotInferer`.
        learned: what was learned from the templates; None to match to their descriptors as they are.

    Raises:
        ConfigError: when there is not one error factor per landmark, or the settings do not fit what was learned.
    """

    matcher: PosteriorMatcher

    def __init__(
        self,
        template: Template,
        settings: MatchingSettings,
        crop_memory_gb: float | None = None,
        learned: LearnedLandmarks | None = None,
    ) -> None:
        super().__init__(template, settings, crop_memory_gb)
        factors, count = settings.error_factors, len(template.landmarks)
        if factors is not None and len(factors) != count:
            raise ConfigError(
                f"matching.error_factors has {len(factors)} numbers for {count} landmarks: calibrate this model again."
            )
        if learned is not None and learned.kernels[0].shape[-1] != settings.patch:
            raise ConfigError(
                f"matching.patch is {settings.patch}, but this model was trained with {learned.kernels[0].shape[-1]}: "
                "leave it out, or train again."
            )
        self.learned = learned
        self.matcher = PosteriorMatcher(settings)

    def describe_template(self, network: OneShotNetwork, device: torch.device) -> _Known:
        """Of a learned model's templates only the first is matched back to."""
        if device.type == "cpu":
            reuse_memory()
        if self.learned is not None:
            first = [] if self.template.pixels is None else [self._seen(self.template, network, device)]
            return _Known(self.learned.known(device), first, None)
        templates = self.describe_all(network, device)
        decoded = mean_of(templates.decoded) if templates.decoded else None
        return _Known(templates.landmarks(), templates.views, decoded)

    def describe_all(self, network: OneShotNetwork, device: torch.device) -> DescribedTemplates:
        """Each template by itself."""
        pairs = [template_tensors(template, device) for template in self.template.all]
        views = [self._seen(template, network, device) for template in self.template.all]
        kernels = [view.describe(landmarks) for view, landmarks in views]
        if not self.settings.uses_crops:
            return DescribedTemplates(views, kernels, None, [], [])
        return DescribedTemplates(views, kernels, *self._describe_crops(pairs, network))

    def _seen(self, template: Template, network: OneShotNetwork, device: torch.device) -> KnownTemplate:
        image, landmarks = template_tensors(template, device)
        return KnownTemplate(self.view(image, network), landmarks)

    @override
    def find(self, image: Tensor, network: OneShotNetwork, known: _Known) -> Tensor:
        query, landmarks = self.view(image, network), known.landmarks
        coarse = self.matcher.coarse(landmarks, query)
        evidence = coarse.found
        if landmarks.filters is not None:
            lattice = self.look_closer(image, evidence.points, query, network, landmarks.crop_matrix)
            evidence = self.matcher.learned(coarse, query, lattice, landmarks)
        elif landmarks.crop_matrix is not None:
            crops = local_crops(image, evidence.points, network.settings)
            local = self._local_scores(crops, landmarks, known.decoded, network)
            evidence = self.matcher.fine(evidence, query, local, *crops.lattice(local.shape[-1]))
        found = self.matcher.judge(landmarks, known.views, query, evidence)
        points, limit = evidence.points, self.settings.missing_above
        if limit is not None:
            points = points.masked_fill((found.expected_error > limit * found.extent)[:, None], torch.nan)
        return as_columns(
            points,
            similarity=found.similarity,
            back_match_error=found.back_match_error,
            spread=evidence.spread,
            confidence=found.confidence,
            expected_error=found.expected_error,
        )

    def look_closer(
        self,
        image: Tensor,
        points: Tensor,
        query: DescriptorPyramid,
        network: OneShotNetwork,
        crop_matrix: Tensor | None,
    ) -> Lattice:
        """The places around points, and what scales and crops show there.

        Args:
            image: (1, 1, H, W).
            points: (N, 2), pixels ``(x, y)`` of it.
            query: its descriptors.
            network: what describes the crops.
            crop_matrix: (C, C), whitening of the crops' features; None for no crops.
        """
        side, patch = network.settings.decoded_crop[0], self.settings.patch
        if crop_matrix is None:
            window = network.settings.local_window * crop_unit(query.size, network)
            step = torch.full_like(points[0], window / side)
            origins, crops = points - (side - 1) / 2 * step, []
        else:
            cut = local_crops(image, points, network.settings)
            origins, step = cut.lattice(side)
            crops = [crop_window(unit_descriptors(self._encoded(cut, network), crop_matrix), side, patch)]
        windows = [level_window(level, query.size, origins, step, side, patch) for level in query.levels]
        return Lattice(origins, step, side, [*windows, *crops])

    def _describe_crops(
        self, templates: list[tuple[Tensor, Tensor]], network: OneShotNetwork
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        crops = [local_crops(image, landmarks, network.settings) for image, landmarks in templates]
        encoded = [self._encoded(one, network) for one in crops]
        matrix = inverse_power(total_covariance(torch.cat(encoded)), LOCAL_POWER, LOCAL_SHRINKAGE)
        window, kernels, decoded = network.settings.local_window, [], []
        for (_, landmarks), one, features in zip(templates, crops, encoded):
            maps = unit_descriptors(features, matrix)
            inside = PixelCentres().to_cells(one.to_crop(landmarks), (window, window), (maps.shape[-2], maps.shape[-1]))
            kernels.append(kernels_at(maps, inside, self.settings.patch))
            if network.local_decoder is not None:
                decoded.append(one.sample(network.decode_local(features, network.settings.decoded_crop), landmarks))
        return matrix, kernels, decoded

    def _encoded(self, crops: LocalCrops, network: OneShotNetwork) -> Tensor:
        """Frozen features of all crops, (N, C, h, w), a batch within the budget of memory at a time."""
        cells = (crops.images.shape[-1] // network.encoder.stride) ** 2
        numbers = ACTIVATIONS_OF_A_CELL * network.encoder.channels * cells
        batch = crops_at_a_time(numbers, crops.images.device, self.crop_memory_gb)
        return torch.cat([network.encode_local(part) for part in crops.images.split(batch)])

    def _local_scores(
        self, crops: LocalCrops, known: KnownLandmarks, decoded: Tensor | None, network: OneShotNetwork
    ) -> Tensor:
        """Weighted similarity of each landmark's crop to the landmark: (N, S, S)."""
        assert known.crop_matrix is not None and known.crop_kernels is not None
        features = self._encoded(crops, network)
        side = network.settings.decoded_crop[0]
        maps = unit_descriptors(features, known.crop_matrix)
        kernels = known.crop_kernels * (self.settings.local_weight / self.settings.patch**2)
        scores = crop_window(maps, side, self.settings.patch).scores(kernels)
        if decoded is not None and self.settings.decoder_weight:
            maps = F.normalize(network.decode_local(features, network.settings.decoded_crop), dim=1)
            scores = scores + torch.einsum("nc,nchw->nhw", decoded, maps) * self.settings.decoder_weight
        return scores


def crop_unit(size: tuple[int, int], network: OneShotNetwork) -> float:
    """Pixels of an image of (height, width) in one pixel of its crops."""
    return max(size) / (network.settings.local_side or max(size))
