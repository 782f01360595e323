"""Mean radial error (MRE)."""

from __future__ import annotations

import torch

from bundle.metrics.radial_error import RadialErrorMetric


class MeanRadialErrorMetric(RadialErrorMetric):
    """Mean distance between landmarks found and their truth, the MRE of the landmark literature; lower is better.

    Give points in millimetres for an MRE in millimetres (see :class:`bundle.metrics.radial_error.RadialErrorMetric`,
    also for the arguments and the reductions)::

        metric = MeanRadialErrorMetric()
        for batch in loader:
            scale = batch["spacing"][:, None]  # (B, 1, 2), mm per pixel (x, y)
            metric(find(batch["image"]) * scale, batch["points"] * scale)
        mre_mm = metric.aggregate()
        mre_mm_of_each_landmark = metric.aggregate("mean_batch")
        metric.reset()

    The buffer, and what a call returns, is the distance of each landmark in each image, shape (B, N). A point found
    that is not finite makes the mean infinite.
    """

    def _compute_scores(self, errors: torch.Tensor) -> torch.Tensor:
        return errors
