"""The mean radial error as a metric of an engine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from monai.utils import MetricReduction

from bundle.handlers.landmark_metric import LandmarkMetricHandler
from bundle.metrics.mean_radial_error import MeanRadialErrorMetric


def lower_is_better(current: float, best: float) -> bool:
    """Compare two values of an error, for ``metric_cmp_fn`` of an evaluator whose key metric is one.

    Args:
        current: the value of this epoch.
        best: the best value so far.

    Returns:
        Whether ``current`` is the better one. A number is better than NaN, the error of an epoch with nothing to
        measure, which otherwise would stay the best for ever.
    """
    return current < best or (best != best and current == current)


class MeanRadialErrorHandler(LandmarkMetricHandler):
    """Computes the mean radial error over all landmarks of all images of an epoch.

    The error is in the unit of the points. For millimetres multiply both points by the spacing of the image, ``(x, y)``
    in mm per pixel, before they come here. An engine's output holds no spacing, but its postprocessing sees batch and
    output together, so that is the place::

        def to_millimetres(data):  # of one image where the engine decollates, else of the batch
            scale = data["spacing"][..., None, :]  # (1, 2) or (B, 1, 2)
            data["pred_mm"], data["label_mm"] = data["pred"] * scale, data["label"] * scale
            return data

        evaluator = SupervisedEvaluator(
            postprocessing=to_millimetres,
            key_val_metric={"mre_mm": MeanRadialErrorHandler(output_transform=from_engine(["pred_mm", "label_mm"]))},
            metric_cmp_fn=lower_is_better,
            val_handlers=[CheckpointSaver(..., save_key_metric=True, key_metric_negative_sign=True)],
            ...
        )

    Lower is better: as the key metric it needs ``metric_cmp_fn=lower_is_better`` in the evaluator and
    ``key_metric_negative_sign=True`` in its ``CheckpointSaver``.
    """

    def __init__(
        self,
        reduction: MetricReduction | str = MetricReduction.MEAN,
        output_transform: Callable = lambda x: x,
        save_details: bool = True,
        earlier: np.ndarray | None = None,
    ) -> None:
        """Set up the metric.

        Args:
            reduction: ``"mean"``, one number over all landmarks of all images, which a key metric needs;
                ``"mean_batch"``, one per landmark; ``"mean_channel"``, one per image; or ``"none"``.
            output_transform: callable to make ``(y_pred, y)`` of ``engine.state.output``: batch-first tensors of
                shape (B, N, 2) or lists of B tensors of shape (N, 2), points ``(x, y)``, a true point of NaN where
                the truth is missing.
            save_details: whether to keep the error of each landmark in each image, shape (M, N), in
                ``engine.state.metric_details`` with the metric's name as key.
            earlier: errors of images that are done already, (M, N), in the unit of the points.

        Raises:
            ValueError: when ``reduction`` is unknown.

        See Also:
            :class:`bundle.metrics.mean_radial_error.MeanRadialErrorMetric`
        """
        super().__init__(
            metric_fn=MeanRadialErrorMetric(reduction=reduction),
            output_transform=output_transform,
            save_details=save_details,
            earlier=earlier,
        )
