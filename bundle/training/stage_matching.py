"""Match held-out warps with the template through the decoder in training, to see how well it does."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor
from torch.nn import functional as F

from bundle.data.warps import WarpedTemplate
from bundle.training.stages import Stage


class StageMatcher(Inferer):
    """Find each landmark on a warp as the place most similar to the template's landmark, by this stage alone.

    Args:
        stage: the stage in training.
        warps: the warps, which hold the template's image at the stage's resolution.
    """

    def __init__(self, stage: Stage, warps: WarpedTemplate) -> None:
        super().__init__()
        self.stage = stage
        self.warps = warps

    @cached_property
    def _template(self) -> tuple[Tensor, Tensor]:
        """Frozen features and cells of the template itself."""
        return self.stage.encode({"image": self.warps.image, "landmarks": self.warps.points.float()}, None)

    def __call__(self, inputs: Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Tensor:
        """Match.

        Args:
            inputs: frozen features of one warp, (M, C, h, w).
            network: the stage.
            args: not used; part of MONAI's interface.
            kwargs: not used.

        Returns:
            tensor of shape (M, K, 2), cells ``(x, y)`` of the decoded map.
        """
        features, cells = self._template
        with torch.no_grad():
            own = F.normalize(network(features.to(inputs.device)), dim=1)
            column, row = cells.to(inputs.device).round().long().unbind(dim=-1)
            column, row = column.clamp(0, own.shape[-1] - 1), row.clamp(0, own.shape[-2] - 1)
            index = (row * own.shape[-1] + column)[:, None].expand(-1, own.shape[1], -1)
            landmarks = own.flatten(2).gather(2, index)
            similarity = torch.bmm(landmarks.transpose(1, 2), F.normalize(network(inputs), dim=1).flatten(2))
            best = similarity.argmax(dim=-1)
        return torch.stack([best % own.shape[-1], best // own.shape[-1]], dim=-1).to(inputs.dtype)
