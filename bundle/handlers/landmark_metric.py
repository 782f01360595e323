"""What the metrics of landmarks share as handlers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from monai.handlers import IgniteMetricHandler

from bundle.metrics.radial_error import RadialErrorMetric


class LandmarkMetricHandler(IgniteMetricHandler):
    """A metric of an engine over all ranks, which also counts the images that an earlier start of the run measured.

    It is NaN after an epoch without images, as where none of them could be read.

    Args:
        metric_fn: the metric.
        output_transform: see :class:`monai.handlers.IgniteMetricHandler`.
        save_details: likewise.
        earlier: errors of images that are done already, (M, N), in the unit of the points.
    """

    metric_fn: RadialErrorMetric

    def __init__(
        self,
        metric_fn: RadialErrorMetric,
        output_transform: Callable,
        save_details: bool,
        earlier: np.ndarray | None = None,
    ) -> None:
        self.earlier = torch.zeros(0) if earlier is None else torch.from_numpy(earlier)
        super().__init__(metric_fn=metric_fn, output_transform=output_transform, save_details=save_details)

    def reset(self) -> None:
        """Forget the images of the epoch, but not the earlier ones."""
        super().reset()
        if len(self.earlier):
            self.metric_fn.add_errors(self.earlier)

    def compute(self) -> Any:
        """The value of the epoch."""
        return super().compute() if self.metric_fn.get_buffer() is not None else float("nan")
