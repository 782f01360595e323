"""What the metrics of landmarks share as handlers."""

from __future__ import annotations

from typing import Any

from monai.handlers import IgniteMetricHandler


class LandmarkMetricHandler(IgniteMetricHandler):
    """A metric of an engine that is NaN after an epoch without images, as where none of them could be read."""

    def compute(self) -> Any:
        """The value of the epoch."""
        return super().compute() if self.metric_fn.get_buffer() is not None else float("nan")
