"""How well the decoder in training finds the landmarks of warps that it is not trained on, to look at only."""

from __future__ import annotations

from functools import cached_property
from statistics import fmean

import torch
from ignite.engine import Engine, Events
from torch import Tensor
from torch.nn import functional as F

from bundle.metrics.radial_error import radial_error
from bundle.ranks import of_all
from bundle.training.stage_features import StageFeatures


class HeldOutError:
    """Sets a metric of a trainer, in cells of the decoded map.

    Args:
        features: what the stage in training sees of held-out warps.
        interval: epochs between two looks.
        name: name of the metric.
    """

    def __init__(self, features: StageFeatures, interval: int, name: str) -> None:
        self.features = features
        self.stage = features.stage
        self.interval = interval
        self.name = name

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer, before what logs its metrics."""
        engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.interval), self._measure)

    def found(self, features: Tensor) -> Tensor:
        """Find each landmark where it is most similar to the template's, by this stage alone.

        Args:
            features: frozen features of one warp, (M, C, h, w).

        Returns:
            tensor of shape (M, K, 2), cells ``(x, y)`` of the decoded map.
        """
        frozen, cells = self._template
        with torch.no_grad():
            own = F.normalize(self.stage(frozen.to(features.device)), dim=1)
            column, row = cells.to(features.device).round().long().unbind(dim=-1)
            column, row = column.clamp(0, own.shape[-1] - 1), row.clamp(0, own.shape[-2] - 1)
            index = (row * own.shape[-1] + column)[:, None].expand(-1, own.shape[1], -1)
            landmarks = own.flatten(2).gather(2, index)
            similarity = torch.bmm(landmarks.transpose(1, 2), F.normalize(self.stage(features), dim=1).flatten(2))
            best = similarity.argmax(dim=-1)
        return torch.stack([best % own.shape[-1], best // own.shape[-1]], dim=-1).to(features.dtype)

    @cached_property
    def _template(self) -> tuple[Tensor, Tensor]:
        """Frozen features and cells of the template itself."""
        warps = self.features.warps
        return self.stage.encode({"image": warps.image, "landmarks": warps.points.float()}, None)

    def _measure(self, engine: Engine) -> None:
        self.stage.eval()
        errors = []
        for index in range(len(self.features)):
            warp = self.features[index]
            errors.append(
                float(radial_error(self.found(warp["image"].to(self.stage.device)).cpu(), warp["label"]).mean())
            )
        engine.state.metrics[self.name] = fmean(error for several in of_all(errors) for error in several)
