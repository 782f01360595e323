"""The statistics of a whole run that go into ``metrics.json`` beside its means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bundle.metrics.bootstrap import (
    as_pairs,
    draw_images,
    failure_scores,
    percentile_interval,
    rate_scores,
    resampled_means,
    resampled_medians,
)
from bundle.metrics.error_summary import detection_curve, failure_rate, summarise
from bundle.records.errors import ConfigError
from bundle.writers.metrics_report import LandmarkErrors

#: Draws of the bootstrap.
RESAMPLES = 2000
#: Share of the resamples within an interval.
LEVEL = 0.95
#: Radii of the curve in mm: every tenth to 10, every half to 20.
CURVE_RADII = tuple(i / 10 for i in range(101)) + tuple(10 + i / 2 for i in range(1, 21))
#: So many failures are named, the worst first.
LISTED_FAILURES = 50


def run_statistics(
    errors: LandmarkErrors,
    radii: Sequence[float],
    *,
    failure_mm: float = 10.0,
    resamples: int = RESAMPLES,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> dict[str, Any]:
    """Intervals, curve and failures of a run.

    Args:
        errors: the errors of all images of all ranks.
        radii: radii in mm of the detection rate.
        failure_mm: error in mm beyond which a landmark counts as a failure.
        resamples: draws of the bootstrap, over images.
        seed: seed of the draws.
        device: where it is computed; the figures do not depend on it.

    Returns:
        plain values with NaN where something is unknown:

        - ``intervals``: ``level``, ``resamples``, ``seed``, and ``[low, high]`` of ``mre_mm``, ``median_mm``,
          ``mre_px`` and ``failures_percent``; under ``sdr`` by radius.
        - ``sdr_curve``: ``radii_mm`` and ``percent``.
        - ``failures``: ``threshold_mm``, ``points``, ``percent``, and ``worst``, at most 50 of ``image``, ``landmark``
          and ``error_mm`` (None for a landmark that was not found).
        - ``per_landmark``: for each landmark ``max_mm``, ``failures_percent`` and ``intervals`` of ``mre_mm`` and
          ``sdr``.

    Raises:
        ConfigError: when the threshold or the number of draws is not positive.
    """
    if not (math.isfinite(failure_mm) and failure_mm > 0):
        raise ConfigError(f"failure_mm is {failure_mm}, expected a positive distance in mm such as 10.")
    mm = torch.from_numpy(np.asarray(errors.mm_or_nan, dtype=np.float64)).to(device)
    px = torch.from_numpy(np.asarray(errors.px, dtype=np.float64)).to(device)
    weights = draw_images(len(mm), resamples, seed, device)
    rates = {str(float(radius)): rate_scores(mm, radius) for radius in radii}
    failures = failure_scores(mm, failure_mm)

    def interval(values: Tensor) -> list[float]:
        return list(as_pairs(percentile_interval(resampled_means(values, weights), LEVEL))[0])

    def by_landmark(values: Tensor) -> list[list[float]]:
        return [list(pair) for pair in as_pairs(percentile_interval(resampled_means(values, weights, True), LEVEL))]

    mre, sdr = by_landmark(mm), {radius: by_landmark(scores) for radius, scores in rates.items()}
    largest = summarise(mm, by_landmark=True).largest.tolist()
    failed = failure_rate(mm, failure_mm, by_landmark=True).tolist()
    return {
        "intervals": {
            "level": LEVEL,
            "resamples": resamples,
            "seed": seed,
            "mre_mm": interval(mm),
            "median_mm": list(as_pairs(percentile_interval(resampled_medians(mm, weights), LEVEL))[0]),
            "mre_px": interval(px),
            "failures_percent": interval(failures),
            "sdr": {radius: interval(scores) for radius, scores in rates.items()},
        },
        "sdr_curve": {"radii_mm": list(CURVE_RADII), "percent": detection_curve(mm, CURVE_RADII).tolist()},
        "failures": {
            "threshold_mm": float(failure_mm),
            "points": int((mm > failure_mm).sum()),
            "percent": float(failure_rate(mm, failure_mm)),
            "worst": _worst(errors, failure_mm),
        },
        "per_landmark": [
            {
                "max_mm": largest[index],
                "failures_percent": failed[index],
                "intervals": {"mre_mm": mre[index], "sdr": {radius: bounds[index] for radius, bounds in sdr.items()}},
            }
            for index in range(len(errors.landmark_names))
        ],
    }


def _worst(errors: LandmarkErrors, failure_mm: float) -> list[dict[str, Any]]:
    mm = errors.mm_or_nan
    rows, columns = np.nonzero(np.nan_to_num(mm, nan=-1.0) > failure_mm)
    order = np.argsort(-mm[rows, columns], kind="stable")[:LISTED_FAILURES]
    return [
        {
            "image": errors.image_ids[rows[index]],
            "landmark": errors.landmark_names[columns[index]],
            "error_mm": float(mm[rows[index], columns[index]]),
        }
        for index in order
    ]
