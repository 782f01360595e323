"""Statistics of errors against numpy, with missing points."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch

from bundle.metrics.error_summary import ErrorSummaryMetric, detection_curve, failure_rate, summarise
from bundle.records.errors import ConfigError

SHAPES = [(30, 19), (31, 4), (1, 6), (8, 1), (1, 1)]
NAN, INF = math.nan, math.inf


def random_errors(images: int, landmarks: int, missing: float = 0.3) -> np.ndarray:
    rng = np.random.default_rng(images * 100 + landmarks)
    errors = rng.gamma(2.0, 1.5, (images, landmarks))
    gone = rng.random(errors.shape) < missing
    gone[0, 0] = False
    errors[gone] = np.nan
    return errors


@pytest.mark.parametrize("shape", SHAPES)
def test_summary_equals_numpy(shape: tuple[int, int]) -> None:
    errors = random_errors(*shape)
    known = errors[~np.isnan(errors)]
    found = summarise(torch.from_numpy(errors))
    assert found.count.item() == known.size
    for value, expected in (
        (found.mean, known.mean()),
        (found.deviation, known.std()),
        (found.median, np.median(known)),
        (found.largest, known.max()),
    ):
        assert value.shape == () and value.item() == pytest.approx(expected, rel=0, abs=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_summary_of_each_landmark_equals_numpy(shape: tuple[int, int]) -> None:
    errors = random_errors(*shape)
    found = summarise(torch.from_numpy(errors), by_landmark=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # columns without any value
        expected = (np.nanmean(errors, 0), np.nanstd(errors, 0), np.nanmedian(errors, 0), np.nanmax(errors, 0))
    for value, wanted in zip((found.mean, found.deviation, found.median, found.largest), expected):
        np.testing.assert_allclose(value.numpy(), wanted, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(found.count.numpy(), (~np.isnan(errors)).sum(0))


@pytest.mark.parametrize("errors", [torch.full((3, 2), NAN), torch.zeros(0, 2)])
def test_nothing_to_measure_is_nan(errors: torch.Tensor) -> None:
    for found in (summarise(errors), summarise(errors, by_landmark=True)):
        assert found.count.sum() == 0
        for value in (found.mean, found.deviation, found.median, found.largest):
            assert value.isnan().all()
    assert detection_curve(errors, [1.0, 2.0]).isnan().all()
    assert failure_rate(errors, 1.0).isnan()


def test_a_landmark_that_was_not_found() -> None:
    found = summarise(torch.tensor([[1.0, INF], [2.0, NAN]]))
    assert found.mean.item() == found.largest.item() == INF
    assert found.median.item() == 2.0
    assert summarise(torch.tensor([[1.0], [INF]])).median.item() == INF
    assert summarise(torch.tensor([[INF], [INF]])).median.item() == INF
    assert failure_rate(torch.tensor([[1.0, INF]]), 5.0).item() == 50.0
    assert detection_curve(torch.tensor([[1.0, INF]]), [2.0]).item() == 50.0


def test_curve_equals_numpy_at_any_radius() -> None:
    errors = random_errors(30, 5)
    radii = [0.0, 0.5, float(np.nanmin(errors)), 2.0, 3.7, 100.0]
    known = errors[~np.isnan(errors)]
    found = detection_curve(torch.from_numpy(errors), radii)
    np.testing.assert_allclose(found.numpy(), [100 * (known < r).mean() for r in radii], rtol=0, atol=1e-9)
    assert found[0] == found[2] == 0 and found[-1] == 100
    by_landmark = detection_curve(torch.from_numpy(errors), radii, by_landmark=True)
    assert by_landmark.shape == (6, 5)
    column = errors[~np.isnan(errors[:, 3]), 3]
    np.testing.assert_allclose(by_landmark[:, 3], [100 * (column < r).mean() for r in radii], rtol=0, atol=1e-9)


def test_failures_lie_beyond_the_threshold() -> None:
    errors = torch.tensor([[10.0, 10.1, NAN, 3.0]], dtype=torch.float64)
    assert failure_rate(errors, 10.0).item() == pytest.approx(100 / 3, abs=1e-9)
    by_landmark = failure_rate(errors, 10.0, by_landmark=True)
    assert by_landmark[:2].tolist() == [0.0, 100.0] and by_landmark[2].isnan()


@pytest.mark.parametrize("radii", [[-1.0], [NAN], [INF, 2.0]])
def test_refuses_radii_that_are_no_distances(radii: list[float]) -> None:
    with pytest.raises(ConfigError, match="radii is"):
        detection_curve(torch.ones(2, 2), radii)


def test_refuses_other_shapes() -> None:
    with pytest.raises(ValueError, match="images by landmarks"):
        summarise(torch.ones(3))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_stays_on_the_device(device: str) -> None:
    errors = torch.ones(4, 3, device=device)
    found = summarise(errors, by_landmark=True)
    assert {value.device.type for value in (found.count, found.mean, found.median, found.largest)} == {device}
    assert detection_curve(errors, [1.0, 2.0]).device.type == device
    assert failure_rate(errors, 1.0).device.type == device


def test_the_metric_sums_up_all_images_it_has_seen() -> None:
    rng = np.random.default_rng(4)
    truth = rng.uniform(0, 200, (9, 6, 2))
    found = truth + rng.normal(0, 3, truth.shape)
    truth[rng.random((9, 6)) < 0.2] = np.nan
    for counting in (False, True):
        metric = ErrorSummaryMetric(get_not_nans=counting)
        for part in (slice(0, 7), slice(7, 9)):
            metric(torch.from_numpy(found[part]), torch.from_numpy(truth[part]))
        errors = np.linalg.norm(found - truth, axis=-1)
        np.testing.assert_allclose(metric.errors(), errors, rtol=0, atol=1e-9)
        assert metric.summary().median.item() == pytest.approx(np.nanmedian(errors), abs=1e-9)
        np.testing.assert_allclose(metric.summary(by_landmark=True).mean, np.nanmean(errors, 0), rtol=0, atol=1e-9)
