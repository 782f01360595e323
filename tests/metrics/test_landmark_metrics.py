"""Distances and both metrics against their definitions written out in numpy, and in MONAI's engines."""

import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedEvaluator
from monai.handlers import IgniteMetricHandler, from_engine

from bundle.errors import ConfigError
from bundle.metrics.error_summary import CEPHALOMETRIC_RADII
from bundle.metrics.landmark_metrics import (
    MeanRadialErrorMetric,
    SuccessfulDetectionRateMetric,
    landmark_errors,
    radial_error,
)
from tests.writers.test_result_writers import prediction


def literal_radial_error(y_pred: np.ndarray, y: np.ndarray, spacing: np.ndarray | None) -> np.ndarray:
    """The definition, one landmark at a time."""
    result = np.full(y.shape[:2], np.nan)
    for image in range(y.shape[0]):
        for landmark in range(y.shape[1]):
            scale = (1.0, 1.0) if spacing is None else spacing[image]
            if np.isnan(y[image, landmark]).any() or np.isnan(scale).any():
                continue
            dx = (y_pred[image, landmark, 0] - y[image, landmark, 0]) * scale[0]
            dy = (y_pred[image, landmark, 1] - y[image, landmark, 1]) * scale[1]
            result[image, landmark] = math.sqrt(dx * dx + dy * dy)
    return result


@pytest.mark.parametrize("with_spacing", [False, True])
@pytest.mark.parametrize(("images", "landmarks"), [(7, 19), (1, 5), (6, 1), (1, 1)])
def test_equals_the_definition(images: int, landmarks: int, with_spacing: bool) -> None:
    rng = np.random.default_rng(images * 100 + landmarks)
    y = rng.uniform(0, 2500, (images, landmarks, 2))
    y_pred = y + rng.normal(0, 30, y.shape)
    y[rng.random((images, landmarks)) < 0.3] = np.nan
    spacing = rng.uniform(0.05, 0.5, (images, 2)) if with_spacing else None
    if spacing is not None and images > 1:
        spacing[1] = np.nan
    found = radial_error(
        torch.from_numpy(y_pred), torch.from_numpy(y), None if spacing is None else torch.from_numpy(spacing)
    )
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), literal_radial_error(y_pred, y, spacing), rtol=1e-13)


def test_pixels_that_are_not_square() -> None:
    y_pred, y = torch.tensor([[[13.0, 20.0], [10.0, 24.0]]]), torch.tensor([[[10.0, 20.0], [10.0, 20.0]]])
    error = radial_error(y_pred, y, torch.tensor([[0.5, 2.0]]))
    torch.testing.assert_close(error, torch.tensor([[1.5, 8.0]]))


def test_missing_truth_and_unknown_spacing_are_nan_but_a_lost_landmark_is_infinitely_far() -> None:
    nan, inf = math.nan, math.inf
    y = torch.tensor([[[1.0, 1.0], [nan, nan], [nan, 1.0], [1.0, 1.0], [1.0, 1.0], [nan, nan]]])
    y_pred = torch.tensor([[[1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [nan, nan], [inf, 1.0], [nan, nan]]])
    expected = torch.tensor([[0.0, nan, nan, inf, inf, nan]])
    torch.testing.assert_close(radial_error(y_pred, y), expected, equal_nan=True)
    for spacing in ([nan, nan], [1.0, nan], [0.0, 1.0], [-1.0, 1.0], [inf, 1.0]):
        assert radial_error(y_pred, y, torch.tensor([spacing])).isnan().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64])
def test_narrow_dtypes_are_measured_in_float32(dtype: torch.dtype) -> None:
    y_pred, y = torch.full((1, 1, 2), 2048, dtype=dtype), torch.full((1, 1, 2), 1024, dtype=dtype)
    error = radial_error(y_pred, y)
    assert error.dtype == torch.float32
    assert error.item() == pytest.approx(1024 * math.sqrt(2))


@pytest.mark.parametrize(("y_pred", "y"), [((3, 2), (3, 2)), ((1, 3, 3), (1, 3, 3)), ((1, 3, 2), (1, 4, 2))])
def test_names_the_shape_expected(y_pred: tuple[int, ...], y: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected the same shape \(B, N, 2\), got \("):
        radial_error(torch.zeros(y_pred), torch.zeros(y))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_errors_on_a_gpu_are_those_of_the_cpu() -> None:
    found = [prediction(seed, 3, spacing=(0.1, 0.2)) for seed in (0, 1)]
    truths = np.random.default_rng(0).uniform(0, 50, (2, 3, 2))
    truths[0, 0] = np.nan
    on_cpu, on_gpu = (landmark_errors(found, truths, found[0].names, device) for device in ("cpu", "cuda"))
    np.testing.assert_allclose(on_gpu.px, on_cpu.px, rtol=1e-12)
    np.testing.assert_allclose(on_gpu.mm, on_cpu.mm, rtol=1e-12)


SHAPES = [(9, 19), (1, 6), (8, 1), (1, 1)]


def random_points(images: int, landmarks: int, missing: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(images * 1000 + landmarks)
    y = rng.uniform(0, 200, (images, landmarks, 2))
    y_pred = y + rng.normal(0, 2, y.shape)
    gone = rng.random((images, landmarks)) < missing
    gone[0, 0] = False
    y[gone] = np.nan
    return y_pred, y


def literal_errors(y_pred: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.sqrt((y_pred[..., 0] - y[..., 0]) ** 2 + (y_pred[..., 1] - y[..., 1]) ** 2)


def literal_pooled_mean(errors: np.ndarray) -> float:
    valid = [float(error) for error in errors.ravel() if not math.isnan(error)]
    return math.fsum(valid) / len(valid) if valid else math.nan


def literal_rate(errors: np.ndarray, radius: float) -> float:
    valid = [float(error) for error in errors.ravel() if not math.isnan(error)]
    return 100 * sum(error < radius for error in valid) / len(valid) if valid else math.nan


def feed(metric: MeanRadialErrorMetric, y_pred: np.ndarray, y: np.ndarray, batch: int, as_list: bool) -> None:
    for start in range(0, len(y), batch):
        found, truth = torch.from_numpy(y_pred[start : start + batch]), torch.from_numpy(y[start : start + batch])
        metric(list(found), list(truth)) if as_list else metric(found, truth)


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize(("images", "landmarks"), SHAPES)
def test_metrics_equal_their_definitions(images: int, landmarks: int, as_list: bool) -> None:
    y_pred, y = random_points(images, landmarks)
    errors = literal_errors(y_pred, y)
    mre, sdr = MeanRadialErrorMetric(), SuccessfulDetectionRateMetric()
    for metric in (mre, sdr):
        feed(metric, y_pred, y, batch=2, as_list=as_list)
    parts: dict[str, Any] = {"mean": [errors], "mean_batch": errors.T, "mean_channel": errors}
    for reduction, rows in parts.items():
        means, rates = mre.aggregate(reduction), sdr.aggregate(reduction)
        np.testing.assert_allclose(means.reshape(-1), [literal_pooled_mean(row) for row in rows], rtol=1e-13)
        expected = [[literal_rate(row, radius) for radius in CEPHALOMETRIC_RADII] for row in rows]
        np.testing.assert_allclose(rates.reshape(-1, 4), expected, rtol=1e-13)
    np.testing.assert_allclose(mre.aggregate("none").numpy(), errors, rtol=1e-13)
    assert mre.aggregate().shape == () and sdr.aggregate().shape == (4,)
    assert sdr.aggregate("none").shape == (images, landmarks, 4)


def test_points_are_pooled_and_not_averaged_per_image() -> None:
    y = torch.zeros(2, 3, 2)
    y[1, 1:] = math.nan  # one landmark in the second image, three in the first
    y_pred = torch.zeros(2, 3, 2)
    y_pred[1, :, 0] = 4.0
    metric = MeanRadialErrorMetric()
    metric(y_pred, y)
    assert metric.aggregate().item() == 1.0  # (0 + 0 + 0 + 4) / 4, where the mean of the image means is 2
    assert metric.aggregate("mean_batch").tolist() == [2.0, 0.0, 0.0]


def test_radius_itself_is_outside_and_a_lost_landmark_is_a_miss() -> None:
    x = [2.0, math.nextafter(2.0, 0.0), math.nextafter(2.0, 3.0), 0.0, math.nan]
    y_pred = torch.tensor([[[value, 0.0] for value in x]], dtype=torch.float64)
    mre, sdr = MeanRadialErrorMetric(), SuccessfulDetectionRateMetric(radii=[2.0])
    assert sdr(y_pred, torch.zeros_like(y_pred)).flatten().tolist() == [0.0, 100.0, 0.0, 100.0, 0.0]
    mre(y_pred, torch.zeros_like(y_pred))
    assert sdr.aggregate().tolist() == [40.0] and mre.aggregate().item() == math.inf


@pytest.mark.parametrize("metric", [MeanRadialErrorMetric(), SuccessfulDetectionRateMetric()])
def test_nothing_to_measure_is_nan_and_not_a_perfect_zero(metric: MeanRadialErrorMetric) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metric.reset()
        with pytest.raises(ValueError, match="nothing to aggregate"):
            metric.aggregate()
        metric(torch.zeros(2, 3, 2), torch.full((2, 3, 2), math.nan))
        for reduction in ("mean", "mean_batch", "mean_channel", "none"):
            assert metric.aggregate(reduction).isnan().all()


def test_takes_meta_tensors_and_keeps_plain_ones() -> None:
    metric = SuccessfulDetectionRateMetric()
    metric([MetaTensor(torch.zeros(3, 2))], [MetaTensor(torch.zeros(3, 2), meta={"filename_or_obj": "a.png"})])
    metric(MetaTensor(torch.zeros(1, 3, 2)), torch.zeros(1, 3, 2))
    assert type(metric.get_buffer()) is torch.Tensor
    assert metric.aggregate().tolist() == metric.aggregate().tolist() == [100.0] * 4


@pytest.mark.parametrize("radii", [(), [0.0], [-1.0, 2.0], [math.nan], [math.inf], 2.0, "2"])
def test_refuses_radii_that_are_not_distances(radii: object) -> None:
    with pytest.raises(ConfigError, match="positive distances are expected"):
        SuccessfulDetectionRateMetric(radii=radii)  # type: ignore[arg-type]


@pytest.mark.parametrize("reduction", ["sum", "median"])
def test_refuses_other_reductions(reduction: str) -> None:
    metric = MeanRadialErrorMetric()
    metric(torch.zeros(1, 3, 2), torch.zeros(1, 3, 2))
    with pytest.raises(ValueError, match=reduction):
        metric.aggregate(reduction)


@pytest.mark.parametrize("decollate", [False, True], ids=["batched", "decollated"])
def test_metrics_of_an_evaluator(decollate: bool) -> None:
    y_pred, y = random_points(5, 4)
    items = [{"image": found, "label": true} for found, true in zip(y_pred, y)]
    mre, sdr = (
        IgniteMetricHandler(metric, output_transform=from_engine(["pred", "label"]))
        for metric in (MeanRadialErrorMetric(), SuccessfulDetectionRateMetric([2.0]))
    )
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(items), batch_size=2),
        network=torch.nn.Identity(),
        decollate=decollate,
        key_val_metric={"mre": mre},
        additional_metrics={"sdr": sdr},
    )
    evaluator.run()
    errors = literal_errors(y_pred, y)
    found = {"mre": literal_pooled_mean(errors), "sdr": literal_rate(errors, 2.0)}
    assert evaluator.state.metrics == pytest.approx(found, rel=1e-5)
    assert evaluator.state.metric_details["mre"].shape == (5, 4)
