"""The whole of it: coarse to fine, one image, one landmark after the other (paper, section 2, figure 1)."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tests.reference.channels import flattened_heads
from tests.reference.decoders import global_features, local_features
from tests.reference.encoder import IMAGENET_MEAN, IMAGENET_STD, facet_map
from tests.reference.fusion import clipped_crop, fused_features, upsampled_to_image
from tests.reference.log_binning import log_binned
from tests.reference.matching import Match, bidirectional_match
from tests.reference.working_image import short_side_size, working_image


@dataclass(frozen=True)
class Pipeline:
    """The encoder's weights, how it is read, and the decoders' weights (``local`` is None: coarse only).

    The decoders' weights are those of the public code, whose channels are counted as :mod:`.channels` says.
    """

    model: Any
    stride: int
    block: int
    short_side: int
    window: int
    global_weight: Tensor
    global_bias: Tensor
    local: dict[str, Tensor] | None
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def binned(self, grey: Tensor) -> Tensor:
        """Frozen features with their surroundings: (17 C, h, w)."""
        keys = facet_map(self.model, grey, stride=self.stride, block=self.block, mean=self.mean, std=self.std)
        return log_binned(flattened_heads(keys, self.model.blocks[self.block].attn.num_heads))

    def whole(self, image: Tensor) -> Tensor:
        """F^G of an image, (H, W): the short side to ``short_side``, encoder, global decoder."""
        size = short_side_size(*image.shape, self.short_side)
        working = torch.from_numpy(working_image(image.numpy(), size))
        return global_features(self.binned(working), size, self.global_weight, self.global_bias)

    def region(self, image: Tensor, upsampled: Tensor, x: int, y: int) -> tuple[Tensor, int, int]:
        """F_i^F of the crop around a pixel, and the crop's left and top."""
        assert self.local is not None
        crop, left, top = clipped_crop(image, x, y, self.window)
        local = local_features(self.binned(crop), (crop.shape[0], crop.shape[1]), self.local)
        return fused_features(local, upsampled, left, top), left, top


@torch.no_grad()
def predict(
    pipeline: Pipeline, template: Tensor, landmarks: list[tuple[int, int]], query: Tensor, k: int
) -> list[Match]:
    """The places of the template's landmarks on the query; images are (H, W), landmarks whole pixels ``(x, y)``."""
    template_size, query_size = (tuple(image.shape) for image in (template, query))
    template_global, query_global = pipeline.whole(template), pipeline.whole(query)
    coarse = [
        bidirectional_match(template_global, query_global, landmark, k, template_size, query_size)
        for landmark in landmarks
    ]
    if pipeline.local is None:
        return coarse
    template_upsampled = upsampled_to_image(template_global, *template_size)
    query_upsampled = upsampled_to_image(query_global, *query_size)
    found = []
    for (x, y), rough in zip(landmarks, coarse):
        known, known_left, known_top = pipeline.region(template, template_upsampled, x, y)
        sought, left, top = pipeline.region(query, query_upsampled, rough.x, rough.y)
        inside = (x - known_left, y - known_top)
        match = bidirectional_match(known, sought, inside, k, None, None)
        margin = min(match.margin, rough.margin)
        found.append(match._replace(x=match.x + left, y=match.y + top, margin=margin))
    return found
