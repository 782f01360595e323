"""Both landmark metrics against their definitions written out in numpy."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed
import torch.multiprocessing
from monai.data import MetaTensor

from bundle.errors import ConfigError
from bundle.metrics.detection_rate import CEPHALOMETRIC_RADII, SuccessfulDetectionRateMetric
from bundle.metrics.mean_radial_error import MeanRadialErrorMetric
from bundle.metrics.radial_error import RadialErrorMetric

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


def feed(metric: RadialErrorMetric, y_pred: np.ndarray, y: np.ndarray, batch: int, as_list: bool) -> None:
    for start in range(0, len(y), batch):
        found, truth = torch.from_numpy(y_pred[start : start + batch]), torch.from_numpy(y[start : start + batch])
        metric(list(found), list(truth)) if as_list else metric(found, truth)


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize(("images", "landmarks"), SHAPES)
def test_mean_radial_error_equals_the_definition(images: int, landmarks: int, as_list: bool) -> None:
    y_pred, y = random_points(images, landmarks)
    errors = literal_errors(y_pred, y)
    metric = MeanRadialErrorMetric()
    feed(metric, y_pred, y, batch=2, as_list=as_list)
    assert metric.aggregate().shape == ()
    assert metric.aggregate().item() == pytest.approx(literal_pooled_mean(errors), rel=1e-13)
    per_landmark = [literal_pooled_mean(column) for column in errors.T]
    np.testing.assert_allclose(metric.aggregate("mean_batch").numpy(), per_landmark, rtol=1e-13)
    per_image = [literal_pooled_mean(row) for row in errors]
    np.testing.assert_allclose(metric.aggregate("mean_channel").numpy(), per_image, rtol=1e-13)
    np.testing.assert_allclose(metric.aggregate("none").numpy(), errors, rtol=1e-13)


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize(("images", "landmarks"), SHAPES)
def test_detection_rate_equals_the_definition(images: int, landmarks: int, as_list: bool) -> None:
    y_pred, y = random_points(images, landmarks)
    errors = literal_errors(y_pred, y)
    metric = SuccessfulDetectionRateMetric(radii=CEPHALOMETRIC_RADII)
    feed(metric, y_pred, y, batch=3, as_list=as_list)
    assert metric.get_buffer().shape == (images, landmarks, 4)
    expected = [literal_rate(errors, radius) for radius in CEPHALOMETRIC_RADII]
    np.testing.assert_allclose(metric.aggregate().numpy(), expected, rtol=1e-13)
    per_landmark = [[literal_rate(column, radius) for radius in CEPHALOMETRIC_RADII] for column in errors.T]
    np.testing.assert_allclose(metric.aggregate("mean_batch").numpy(), per_landmark, rtol=1e-13)
    for index, radius in enumerate(CEPHALOMETRIC_RADII):
        one = SuccessfulDetectionRateMetric(radii=radius)
        feed(one, y_pred, y, batch=3, as_list=as_list)
        assert one.get_buffer().shape == (images, landmarks)
        assert one.aggregate().item() == pytest.approx(expected[index], rel=1e-13)


def test_points_are_pooled_and_not_averaged_per_image() -> None:
    y = torch.zeros(2, 3, 2)
    y[1, 1:] = math.nan  # one landmark in the second image, three in the first
    y_pred = torch.zeros(2, 3, 2)
    y_pred[1, :, 0] = 4.0
    metric = MeanRadialErrorMetric()
    metric(y_pred, y)
    assert metric.aggregate().item() == 1.0  # (0 + 0 + 0 + 4) / 4, where the mean of the image means is 2
    assert metric.aggregate("mean_batch").tolist() == [2.0, 0.0, 0.0]
    assert metric.aggregate("none").shape == (2, 3)


def test_radius_itself_is_outside() -> None:
    y = torch.zeros(1, 4, 2, dtype=torch.float64)
    y_pred = torch.zeros_like(y)
    y_pred[0, :, 0] = torch.tensor([2.0, math.nextafter(2.0, 0.0), math.nextafter(2.0, 3.0), 0.0], dtype=y.dtype)
    metric = SuccessfulDetectionRateMetric(radii=[2.0])
    assert metric(y_pred, y).flatten().tolist() == [0.0, 100.0, 0.0, 100.0]
    assert metric.aggregate().tolist() == [50.0]
    y_pred = torch.tensor([[[3.0, 4.0]]])  # exactly 5 away
    assert SuccessfulDetectionRateMetric(radii=5)(y_pred, torch.zeros(1, 1, 2)).item() == 0.0


def test_lost_landmark_is_a_miss_and_makes_the_mean_infinite() -> None:
    y, y_pred = torch.zeros(1, 2, 2), torch.tensor([[[math.nan, math.nan], [0.0, 0.0]]])
    mre, sdr = MeanRadialErrorMetric(), SuccessfulDetectionRateMetric(radii=2.0)
    mre(y_pred, y)
    sdr(y_pred, y)
    assert mre.aggregate().item() == math.inf
    assert sdr.aggregate().item() == 50.0


@pytest.mark.parametrize(
    "metric", [MeanRadialErrorMetric(), SuccessfulDetectionRateMetric(), SuccessfulDetectionRateMetric(2.0)]
)
def test_nothing_to_measure_is_nan_and_not_a_perfect_zero(metric: RadialErrorMetric) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metric.reset()
        metric(torch.zeros(2, 3, 2), torch.full((2, 3, 2), math.nan))
        for reduction in ("mean", "mean_batch", "mean_channel", "none"):
            assert metric.aggregate(reduction).isnan().all()


def test_points_in_mm_by_a_spacing_that_may_be_unknown() -> None:
    y_pred, y = random_points(3, 5, missing=0)
    spacing = np.array([[0.1, 0.2], [np.nan, np.nan], [0.3, 0.1]])
    metric = MeanRadialErrorMetric()
    scale = torch.from_numpy(spacing)[:, None]
    metric(torch.from_numpy(y_pred) * scale, torch.from_numpy(y) * scale)
    expected = np.hypot(*np.moveaxis((y_pred - y)[[0, 2]] * spacing[[0, 2], None], -1, 0)).mean()
    assert metric.aggregate().item() == pytest.approx(expected, rel=1e-12)


def test_reset_forgets_and_aggregate_does_not_consume() -> None:
    metric = MeanRadialErrorMetric()
    metric(torch.ones(1, 1, 2) * 3, torch.zeros(1, 1, 2))
    assert metric.aggregate() == metric.aggregate()
    metric.reset()
    with pytest.raises(ValueError, match="nothing to aggregate"):
        metric.aggregate()
    metric(torch.zeros(1, 1, 2), torch.zeros(1, 1, 2))
    assert metric.aggregate() == 0


def test_takes_meta_tensors_and_keeps_plain_ones() -> None:
    metric = SuccessfulDetectionRateMetric()
    metric([MetaTensor(torch.zeros(3, 2))], [MetaTensor(torch.zeros(3, 2), meta={"filename_or_obj": "a.png"})])
    metric(MetaTensor(torch.zeros(1, 3, 2)), torch.zeros(1, 3, 2))
    assert type(metric.get_buffer()) is torch.Tensor
    assert metric.aggregate().tolist() == [100.0] * 4


@pytest.mark.parametrize("radii", [(), [0.0], [-1.0, 2.0], math.nan, math.inf, 0])
def test_refuses_radii_that_are_not_distances(radii: object) -> None:
    with pytest.raises(ConfigError, match="positive distances are expected"):
        SuccessfulDetectionRateMetric(radii=radii)  # type: ignore[arg-type]


def test_checks_its_inputs() -> None:
    metric = MeanRadialErrorMetric()
    points = torch.zeros(1, 3, 2)
    with pytest.raises(ValueError, match=r"y: expected true points"):
        metric(points)
    with pytest.raises(ValueError, match=r"same number of images, at least one, got 2 and 1"):
        metric([points[0], points[0]], [points[0]])
    with pytest.raises(ValueError, match=r"got 0 and 0"):
        metric([], [])
    with pytest.raises(ValueError, match=r"got 1 and None"):
        metric([points[0]])
    with pytest.raises(ValueError, match=r"expected shape \(B, N, 2\)"):
        metric(points[0], points[0])
    for reduction in ("sum", "median"):
        with pytest.raises(ValueError, match=reduction):
            MeanRadialErrorMetric(reduction=reduction)
        metric(points, points)
        with pytest.raises(ValueError, match=reduction):
            metric.aggregate(reduction)


@pytest.fixture
def no_way_to_the_host(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make every way of a tensor to the host raise."""

    def refuse(name: str):
        def raising(self: torch.Tensor, *args: object, **kwargs: object) -> None:
            raise AssertionError(f"torch.Tensor.{name} takes the metric off its device.")

        return raising

    with monkeypatch.context() as patch:
        for name in ("cpu", "numpy", "item", "tolist", "__array__", "__bool__", "__float__", "__int__"):
            patch.setattr(torch.Tensor, name, refuse(name))
        yield


@pytest.mark.usefixtures("no_way_to_the_host")
@pytest.mark.parametrize("device", ["cpu", "meta", "cuda"])
@pytest.mark.parametrize(
    ("metric_class", "shape"), [(MeanRadialErrorMetric, ()), (SuccessfulDetectionRateMetric, (4,))]
)
def test_stays_on_the_device(metric_class: type[RadialErrorMetric], shape: tuple[int, ...], device: str) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    metric = metric_class()
    y_pred, y = torch.ones(2, 5, 2, device=device), torch.zeros(2, 5, 2, device=device)
    y[0, 0] = math.nan
    metric(y_pred, y)
    metric(list(y_pred), list(y))
    for reduction, dimensions in {"mean": (), "mean_batch": (5,), "mean_channel": (4,), "none": (4, 5)}.items():
        result = metric.aggregate(reduction)
        assert result.device.type == device
        assert result.shape == dimensions + shape


def several_metrics() -> tuple[RadialErrorMetric, ...]:
    rates = SuccessfulDetectionRateMetric(), SuccessfulDetectionRateMetric(2.0)
    return MeanRadialErrorMetric(), *rates


def measure_share(rank: int, folder: str) -> None:
    """One of two processes: the first measures five images, the second two."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    y_pred, y = random_points(7, 11)
    mine = slice(0, 5) if rank == 0 else slice(5, 7)
    results = []
    for metric in several_metrics():
        feed(metric, y_pred[mine], y[mine], batch=2, as_list=rank == 1)
        results.append({reduction: metric.aggregate(reduction) for reduction in ("mean", "mean_batch", "none")})
    torch.save(results, Path(folder) / f"{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="this torch has no gloo")
def test_two_processes_of_unequal_shares_equal_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    torch.multiprocessing.spawn(measure_share, args=(str(tmp_path),), nprocs=2)
    y_pred, y = random_points(7, 11)
    for rank in (0, 1):
        for metric, together in zip(several_metrics(), torch.load(tmp_path / f"{rank}.pt")):
            metric.reset()
            feed(metric, y_pred, y, batch=7, as_list=False)
            for reduction, value in together.items():
                torch.testing.assert_close(value, metric.aggregate(reduction), rtol=0, atol=1e-12, equal_nan=True)
