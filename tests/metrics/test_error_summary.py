"""What a run amounts to, and its intervals, against their definitions."""

import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch

from bundle.errors import ConfigError
from bundle.metrics.error_summary import (
    CURVE_RADII,
    LEVEL,
    SCHEMA,
    LandmarkErrors,
    bootstrap_mean,
    detection_rate,
    failure_scores,
    positive_radii,
    summarise,
    summarise_run,
)
from bundle.metrics.landmark_metrics import MeanRadialErrorMetric, SuccessfulDetectionRateMetric

RADII = (2.0, 2.5, 3.0, 4.0)
NAN, INF = math.nan, math.inf


def random_errors(images: int, landmarks: int, missing: float = 0.3) -> np.ndarray:
    rng = np.random.default_rng(images * 100 + landmarks)
    errors = rng.gamma(2.0, 1.5, (images, landmarks))
    gone = rng.random(errors.shape) < missing
    gone[0, 0] = False
    errors[gone] = np.nan
    return errors


def random_run(images: int = 7, landmarks: int = 5, missing: float = 0.3) -> LandmarkErrors:
    """Errors whose second image has no spacing."""
    rng = np.random.default_rng(images * 100 + landmarks)
    offset = rng.normal(0, 20, (images, landmarks, 2))
    offset[rng.random((images, landmarks)) < missing] = np.nan
    spacing = rng.uniform(0.05, 0.3, (images, 1, 2))
    spacing[1:2] = np.nan
    offset_mm = offset * spacing
    return LandmarkErrors(
        tuple(f"image{i}" for i in range(images)),
        tuple(f"L{i}" for i in range(landmarks)),
        np.hypot(offset[..., 0], offset[..., 1]),
        np.hypot(offset_mm[..., 0], offset_mm[..., 1]),
    )


def check_literally(row: dict, px: np.ndarray, mm: np.ndarray) -> None:
    px_known = [float(error) for error in px.ravel() if not math.isnan(error)]
    known = [float(error) for error in mm.ravel() if not math.isnan(error)]
    assert row["points"] == len(px_known)
    assert row["points_mm"] == len(known)
    assert row["mre_px"] == pytest.approx(math.fsum(px_known) / len(px_known) if px_known else NAN, nan_ok=True)
    if not known:
        assert all(math.isnan(row[key]) for key in ("mre_mm", "std_mm", "median_mm", "max_mm"))
        assert all(math.isnan(rate) for rate in row["sdr"].values())
        return
    mean = math.fsum(known) / len(known)
    assert row["mre_mm"] == pytest.approx(mean)
    assert row["std_mm"] == pytest.approx(math.sqrt(math.fsum((e - mean) ** 2 for e in known) / len(known)))
    middle = sorted(known)[(len(known) - 1) // 2 : len(known) // 2 + 1]
    assert row["median_mm"] == pytest.approx(sum(middle) / len(middle))
    assert row["max_mm"] == max(known)
    for radius in RADII:
        assert row["sdr"][str(radius)] == pytest.approx(100 * sum(e < radius for e in known) / len(known))


@pytest.mark.parametrize(("images", "landmarks"), [(7, 5), (1, 5), (7, 1), (1, 1), (0, 3)])
def test_a_run_equals_the_definitions(images: int, landmarks: int) -> None:
    errors = random_run(images, landmarks)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = summarise_run(errors, RADII, resamples=20)
    assert (found["schema"], found["images"], found["landmarks"]) == (SCHEMA, images, landmarks)
    check_literally(found, errors.px, errors.mm)
    assert [row["name"] for row in found["per_landmark"]] == list(errors.landmark_names)
    for index, row in enumerate(found["per_landmark"]):
        check_literally(row, errors.px[:, index], errors.mm[:, index])


def test_means_equal_the_metrics() -> None:
    errors = random_run(9, 6)
    found = summarise_run(errors, RADII, resamples=20)
    mre, sdr = MeanRadialErrorMetric(), SuccessfulDetectionRateMetric(RADII)
    points = torch.from_numpy(np.stack([errors.mm, np.zeros_like(errors.mm)], axis=-1))
    for metric in (mre, sdr):
        metric(points, torch.where(points.isnan(), math.nan, 0.0))
    assert found["mre_mm"] == pytest.approx(mre.aggregate().item(), rel=1e-12)
    per_landmark = [row["mre_mm"] for row in found["per_landmark"]]
    assert per_landmark == pytest.approx(mre.aggregate("mean_batch").tolist(), rel=1e-12)
    assert list(found["sdr"].values()) == pytest.approx(sdr.aggregate().tolist(), rel=1e-12)


@pytest.mark.parametrize("radii", [(), [0.0], [-1.0, 2.0], [math.nan], [math.inf], 2.0, "2"])
def test_refuses_radii_that_are_not_distances(radii: Any) -> None:
    with pytest.raises(ConfigError, match="positive distances are expected"):
        positive_radii(radii)


def test_intervals_curve_and_failures_equal_their_definitions() -> None:
    errors = random_run(9, 4)
    found = summarise_run(errors, RADII, failure_mm=3.0, resamples=60, seed=5)
    known = errors.mm[~np.isnan(errors.mm)]
    intervals = found["intervals"]
    assert (intervals["level"], intervals["resamples"], intervals["seed"]) == (0.95, 60, 5)
    assert intervals["mre_mm"] == pytest.approx(bootstrap_mean(errors.mm[None], 60, 5)[0][0])
    assert intervals["mre_px"] == pytest.approx(bootstrap_mean(errors.px[None], 60, 5)[0][0])
    hits = np.where(np.isnan(errors.mm), np.nan, 100.0 * (errors.mm < 2.5))
    assert intervals["sdr"]["2.5"] == pytest.approx(bootstrap_mean(hits[None], 60, 5)[0][0])
    curve = found["sdr_curve"]
    assert curve["percent"] == pytest.approx([100 * (known < r).mean() for r in CURVE_RADII], abs=1e-9)
    failures = found["failures"]
    assert failures["points"] == (known > 3).sum() == len(failures["worst"])
    assert failures["percent"] == pytest.approx(100 * (known > 3).mean(), abs=1e-9)
    assert [row["error_mm"] for row in failures["worst"]] == sorted(known[known > 3], reverse=True)
    one = found["per_landmark"][2]
    assert one["intervals"]["mre_mm"] == pytest.approx(bootstrap_mean(errors.mm.T[..., None], 60, 5)[0][2])
    column = errors.mm[~np.isnan(errors.mm[:, 2]), 2]
    assert one["failures_percent"] == pytest.approx(100 * (column > 3).mean())


def test_borders_are_strict() -> None:
    errors = np.array([2.0, np.nextafter(2.0, 0), 10.0, np.nextafter(10.0, 11), NAN, INF])
    assert detection_rate(errors, [2.0, 10.0]).tolist() == [20.0, 40.0]
    assert failure_scores(errors, 10.0).tolist()[:4] == [0, 0, 0, 100] and failure_scores(errors, 10.0)[5] == 100
    assert np.isnan(detection_rate(np.array([NAN]), [1.0])).all()


def test_a_landmark_that_was_not_found_is_a_failure() -> None:
    errors = np.array([[1.0], [INF]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = summarise_run(LandmarkErrors(("a", "b"), ("L",), errors, errors), [2.0], resamples=20)
    assert found["sdr"] == {"2.0": 50.0} and found["failures_over_10mm_percent"] == 50.0
    assert found["mre_mm"] == found["max_mm"] == INF and math.isnan(found["std_mm"])
    assert found["failures"]["worst"] == [{"image": "b", "landmark": "L", "error_mm": INF}]
    assert summarise(np.array([INF, INF]))["median"] == INF


@pytest.mark.parametrize(
    "settings",
    [{"failure_mm": 0.0}, {"failure_mm": NAN}, {"resamples": 0}, {"radii": [2.0, 0.0]}, {"radii": [INF]}],
)
def test_senseless_settings(settings: dict) -> None:
    errors = random_run(3, 2)
    with pytest.raises(ConfigError, match="expected"):
        summarise_run(errors, **{"radii": RADII, **settings})


def literal(errors: np.ndarray, resamples: int = 4000) -> list[float]:
    """Percentiles of the mean over images with a point, drawn one after the other."""
    errors = errors[~np.isnan(errors).all(axis=1)]
    rng = np.random.default_rng(1)
    drawn = [np.nanmean(errors[rng.integers(0, len(errors), len(errors))]) for _ in range(resamples)]
    return list(np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))


@pytest.mark.parametrize("shape", [(40, 5), (25, 1)])
def test_intervals_are_about_those_of_numpy(shape: tuple[int, int]) -> None:
    errors = random_errors(*shape)
    hits = np.where(np.isnan(errors), NAN, 100.0 * (errors < 2))
    bounds, means = bootstrap_mean(np.stack([errors, hits]), 4000, seed=3)
    assert bounds.shape == (2, 2) and means.shape == (2, 4000)
    assert bounds[0] == pytest.approx(literal(errors), abs=0.05)
    assert bounds[1] == pytest.approx(literal(hits), abs=3)


def test_means_are_those_of_the_points_of_the_images_drawn() -> None:
    """Of two images, one with three points and one with one, there are four equally probable samples."""
    errors = np.array([[1.0, 2.0, 3.0], [8.0, NAN, NAN]])
    _, (means,) = bootstrap_mean(errors[None], 4000)
    values, counts = np.unique(means, return_counts=True)
    assert values.tolist() == [2.0, 3.5, 8.0] and counts / 4000 == pytest.approx([0.25, 0.5, 0.25], abs=0.03)


def test_the_seed_decides() -> None:
    errors = random_errors(9, 3)[None]
    assert np.array_equal(bootstrap_mean(errors, 50, 1)[1], bootstrap_mean(errors, 50, 1)[1])
    assert not np.array_equal(bootstrap_mean(errors, 50, 1)[1], bootstrap_mean(errors, 50, 2)[1])


@pytest.mark.parametrize("errors", [np.zeros((0, 2)), np.ones((1, 2)), np.array([[1.0, 2.0], [NAN, NAN]])])
def test_one_image_has_no_interval(errors: np.ndarray) -> None:
    assert np.isnan(bootstrap_mean(errors[None])[0]).all()


def test_a_landmark_that_was_not_found_is_infinite() -> None:
    errors = np.array([[1.0], [INF], [1.0], [2.0]])
    (low, high) = bootstrap_mean(errors[None])[0][0]
    assert low == 1 and high == INF


def test_refuses_no_draws() -> None:
    with pytest.raises(ConfigError, match="resamples is 0"):
        bootstrap_mean(np.ones((1, 3, 1)), 0)
