"""Radial errors, and what those of a run amount to: MRE and SDR, with intervals by bootstrap over images.

The bootstrap: Efron and Tibshirani, 1993.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bundle.errors import ConfigError

#: Draws of the bootstrap.
RESAMPLES = 2000
#: Share of the resamples within an interval.
LEVEL = 0.95

_BATCH = 25


def bootstrap_mean(scores: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The interval of the mean over all points, for several scores of the points of the same images.

    Args:
        scores: (K, M, N), K scores of N points in M images, such as errors, or 100 and 0 for a rate; NaN where there is
            none, infinite where a landmark was not found.
        resamples: number of resamples.
        seed: seed of the draws.

    Returns:
        (K, 2) bounds, NaN for fewer than two images with a point; and (K, resamples) means.

    Raises:
        ConfigError: when there is not at least one resample.
    """
    if resamples < 1:
        raise ConfigError(f"resamples is {resamples}, expected at least one: 2000 are usual.")
    scores = scores[:, ~np.isnan(scores).all(axis=(0, 2))]
    sums, counts = np.nansum(scores, axis=2), np.count_nonzero(~np.isnan(scores), axis=2)
    found = np.full((len(scores), resamples), np.nan)
    if scores.shape[1] > 1:
        from scipy import stats  # takes half a second, which pages that show no interval do without

        with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
            # A score that none of the images drawn has is NaN; of scipy's own interval, which it warns of, nothing is
            # used.
            warnings.simplefilter("ignore", stats.DegenerateDataWarning)
            found = stats.bootstrap(
                (sums, counts),
                lambda sums, counts, axis: sums.sum(axis) / counts.sum(axis),
                paired=True,
                n_resamples=resamples,
                batch=_BATCH,
                vectorized=True,
                axis=-1,
                method="percentile",
                rng=seed,
            ).bootstrap_distribution
    found[np.count_nonzero(counts, axis=1) < 2] = np.nan
    none = np.isnan(found).all(axis=1)
    # One of the values each, for between infinite ones there is none.
    levels = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    bounds = np.nanquantile(np.where(none[:, None], 0, found), levels, axis=1, method="inverted_cdf").T
    return np.where(none[:, None], np.nan, bounds), found


#: The form of ``metrics.json``: a reader that does not know the number must not guess.
SCHEMA = "one-shot-landmarks/metrics/1"
#: The radii in mm of the cephalometric challenges (ISBI 2014 and 2015), in which the literature reports its rates.
CEPHALOMETRIC_RADII = (2.0, 2.5, 3.0, 4.0)
#: From this error in mm on, exclusive, a landmark counts as a failure.
FAILURE_MM = 10.0
#: Radii of the curve in mm: every tenth to 10, every half to 20.
CURVE_RADII = tuple(i / 10 for i in range(101)) + tuple(10 + i / 2 for i in range(1, 21))
#: So many failures are named, the worst first.
LISTED_FAILURES = 50


@dataclass(frozen=True)
class LandmarkErrors:
    """Radial errors of N landmarks in M images.

    Attributes:
        image_ids: M names.
        landmark_names: N names.
        px: (M, N), float64, errors in pixels of the full-resolution image; NaN where there is no truth, infinity
            where a landmark that has one was not found.
        mm: (M, N), float64, errors in millimetres; NaN where there is no truth or no spacing.
    """

    image_ids: tuple[str, ...]
    landmark_names: tuple[str, ...]
    px: np.ndarray
    mm: np.ndarray


def positive_radii(radii: Sequence[float], name: str = "radii") -> tuple[float, ...]:
    """One or more distances, as numbers; ``name`` is what the message calls them.

    Raises:
        ConfigError: when there is none, or one is no positive number.
    """
    numbers = radii if isinstance(radii, Sequence) and not isinstance(radii, str) else ()
    if not numbers or not all(isinstance(one, int | float) and 0 < one < math.inf for one in numbers):
        raise ConfigError(
            f"{name} is {radii!r}, but one or more positive distances are expected: "
            f"give for example {list(CEPHALOMETRIC_RADII)}."
        )
    return tuple(float(number) for number in numbers)


def detection_scores(errors: Any, radius: Any) -> Any:
    """100 where a point is nearer to its truth than a radius, strictly, else 0: their mean is the SDR.

    Args:
        errors: an array or a tensor of any shape.
        radius: a number, or an array or a tensor that fits the errors.
    """
    return errors.clip(0, 0) + 100 * (errors < radius)  # clipped to 0, NaN stays NaN


def failure_scores(errors: np.ndarray, threshold: float) -> np.ndarray:
    """100 where a point is farther from its truth than a threshold, else 0; NaN where there is no truth."""
    return errors.clip(0, 0) + 100 * (errors > threshold)


def mean(scores: np.ndarray) -> float:
    """The mean of what is known; NaN of nothing."""
    known = scores[~np.isnan(scores)]
    return float(known.mean()) if known.size else math.nan


def detection_rate(errors: np.ndarray, radii: Sequence[float] | np.ndarray) -> np.ndarray:
    """The SDR in per cent of points of any shape, (R,), for each of R radii; NaN where there is no error."""
    return np.array([mean(detection_scores(errors, radius)) for radius in radii])


def summarise(errors: np.ndarray) -> dict[str, Any]:
    """``mre``, ``std`` (divided by the number), ``median``, ``max`` and ``points`` of errors of any shape."""
    known = errors[~np.isnan(errors)]
    with np.errstate(invalid="ignore"):  # the deviation of an infinite error is NaN
        values = (np.mean(known), np.std(known), np.median(known), np.max(known)) if known.size else (math.nan,) * 4
    return {**dict(zip(("mre", "std", "median", "max"), map(float, values))), "points": known.size}


def summarise_run(
    errors: LandmarkErrors,
    radii: Sequence[float],
    *,
    failure_mm: float = FAILURE_MM,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Sum up the errors of a run.

    Every mean is over the pooled points, those of all images that have a truth, each counting once.

    Args:
        errors: the errors.
        radii: radii in mm of the successful detection rate.
        failure_mm: error in mm beyond which a landmark counts as a failure.
        resamples: draws of the bootstrap, over images.
        seed: seed of the draws.

    Returns:
        What ``metrics.json`` says of the errors (see ``docs/formats.md``), with NaN for what is unknown.

    Raises:
        ConfigError: when a radius, the threshold or the number of draws is not positive.
    """
    radii, mm = positive_radii(radii), errors.mm
    positive_radii([failure_mm], "failure_mm")
    scores = np.stack([mm, failure_scores(mm, failure_mm), *(detection_scores(mm, radius) for radius in radii)])

    def intervals(bounds: np.ndarray) -> dict[str, Any]:
        mre, failed, *rates = bounds.tolist()
        return {"mre_mm": mre, "failures_percent": failed, "sdr": dict(zip(map(_key, radii), rates))}

    kinds, images, landmarks = scores.shape
    single = scores.transpose(2, 0, 1).reshape(landmarks * kinds, images, 1)  # each landmark by itself
    bounds = bootstrap_mean(single, resamples, seed)[0].reshape(landmarks, kinds, 2)
    rows = [
        {
            "name": name,
            **_entries(errors.px[:, index], mm[:, index], radii),
            "failures_percent": mean(scores[1, :, index]),
            "intervals": intervals(bounds[index]),
        }
        for index, name in enumerate(errors.landmark_names)
    ]
    return {
        "schema": SCHEMA,
        **_entries(errors.px, mm, radii),
        "failures_over_10mm_percent": mean(failure_scores(mm, FAILURE_MM)),
        "images": len(errors.image_ids),
        "landmarks": len(errors.landmark_names),
        "intervals": {
            "level": LEVEL,
            "resamples": resamples,
            "seed": seed,
            **intervals(bootstrap_mean(scores, resamples, seed)[0]),
            "mre_px": bootstrap_mean(errors.px[None], resamples, seed)[0][0].tolist(),
        },
        "sdr_curve": {"radii_mm": list(CURVE_RADII), "percent": detection_rate(mm, CURVE_RADII).tolist()},
        "failures": {
            "threshold_mm": float(failure_mm),
            "points": int((mm > failure_mm).sum()),
            "percent": mean(scores[1]),
            "worst": _worst(errors, failure_mm),
        },
        "per_landmark": rows,
    }


def _entries(px: np.ndarray, mm: np.ndarray, radii: Sequence[float]) -> dict[str, Any]:
    """What is said of the whole run, and of each landmark."""
    in_mm = summarise(mm)
    return {
        **{f"{key}_mm": in_mm[key] for key in ("mre", "std", "median", "max")},
        "mre_px": summarise(px)["mre"],
        "sdr": dict(zip(map(_key, radii), detection_rate(mm, radii).tolist())),
        "points": int((~np.isnan(px)).sum()),
        "points_mm": in_mm["points"],
    }


def _key(radius: float) -> str:
    return str(float(radius))


def _worst(errors: LandmarkErrors, failure_mm: float) -> list[dict[str, Any]]:
    rows, columns = np.nonzero(errors.mm > failure_mm)
    order = np.argsort(-errors.mm[rows, columns], kind="stable")[:LISTED_FAILURES]
    return [
        {
            "image": errors.image_ids[row],
            "landmark": errors.landmark_names[column],
            "error_mm": float(errors.mm[row, column]),
        }
        for row, column in zip(rows[order], columns[order])
    ]
