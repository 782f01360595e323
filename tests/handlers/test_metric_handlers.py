"""The landmark metrics in real MONAI engines, on the CPU."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import (
    CheckpointSaver,
    MetricsSaver,
    StatsHandler,
    TensorBoardStatsHandler,
    ValidationHandler,
    from_engine,
)

from bundle.errors import ConfigError
from bundle.handlers import (
    MeanRadialErrorHandler,
    SuccessfulDetectionRateHandler,
    detection_rate_handlers,
    lower_is_better,
)

LANDMARKS = 4
IMAGES = 5
RADII = (2.0, 2.5, 3.0, 4.0)


class Shift(torch.nn.Module):
    """Finds every landmark one learnt offset away from where the image says that it is."""

    def __init__(self, offset: float) -> None:
        super().__init__()
        self.offset = torch.nn.Parameter(torch.tensor(offset))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image + self.offset


def items() -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    result = []
    for index in range(IMAGES):
        truth = rng.uniform(0, 50, (LANDMARKS, 2)).astype(np.float32)
        image = truth + rng.normal(0, 1, truth.shape).astype(np.float32)
        truth[rng.random(LANDMARKS) < 0.3] = np.nan
        spacing = rng.uniform(0.5, 1.5, 2).astype(np.float32)
        result.append({"image": image, "label": truth, "spacing": spacing, "name": f"image{index}.png"})
    return result


def to_millimetres(data: dict[str, Any]) -> dict[str, Any]:
    """Postprocessing of one image where the engine decollates, else of the batch."""
    scale = data["spacing"][..., None, :]
    data["pred_mm"], data["label_mm"] = data["pred"] * scale, data["label"] * scale
    return data


points_in_mm = from_engine(["pred_mm", "label_mm"])


def make_evaluator(network: torch.nn.Module, decollate: bool, **arguments: Any) -> SupervisedEvaluator:
    return SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(items()), batch_size=2),
        network=network,
        decollate=decollate,
        postprocessing=to_millimetres,
        **arguments,
    )


def expected_errors(offset: float) -> np.ndarray:
    return np.array(
        [np.hypot(*(((i["image"] + offset) - i["label"]) * i["spacing"]).T.astype(np.float64)) for i in items()]
    )


def expected_rate(offset: float, radius: float) -> float:
    errors = expected_errors(offset)
    return 100 * float((errors[~np.isnan(errors)] < radius).mean())


@pytest.mark.parametrize("decollate", [False, True], ids=["batched", "decollated"])
def test_metrics_of_an_evaluator(decollate: bool) -> None:
    evaluator = make_evaluator(
        Shift(1.5),
        decollate,
        key_val_metric={"mre_mm": MeanRadialErrorHandler(output_transform=points_in_mm)},
        additional_metrics={
            **detection_rate_handlers(RADII, output_transform=points_in_mm, save_details=True),
            "per_landmark": MeanRadialErrorHandler("mean_batch", output_transform=points_in_mm, save_details=False),
        },
    )
    evaluator.run()
    metrics, errors = evaluator.state.metrics, expected_errors(1.5)
    assert metrics["mre_mm"] == pytest.approx(np.nanmean(errors), rel=1e-5)
    assert isinstance(metrics["mre_mm"], float)
    for radius in RADII:
        assert metrics[f"sdr_{radius}mm"] == pytest.approx(expected_rate(1.5, radius), rel=1e-5)
    np.testing.assert_allclose(metrics["per_landmark"].numpy(), np.nanmean(errors, axis=0), rtol=1e-5)
    details = evaluator.state.metric_details
    np.testing.assert_allclose(details["mre_mm"].numpy(), errors, rtol=1e-4)
    assert details["sdr_2.0mm"].shape == (IMAGES, LANDMARKS)
    assert "per_landmark" not in details


def file_names(batch: Any) -> list[dict[str, str]]:
    names = batch["name"] if isinstance(batch, dict) else [item["name"] for item in batch]
    return [{"filename_or_obj": name} for name in names]


@pytest.mark.parametrize("decollate", [False, True], ids=["batched", "decollated"])
def test_stats_metrics_and_tensorboard_handlers_take_the_metrics(
    decollate: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written: dict[str, float] = {}

    class Writer:
        def add_scalar(self, tag: str, value: float, step: int) -> None:
            written[tag] = value

        def flush(self) -> None: ...

    evaluator = make_evaluator(
        Shift(1.5),
        decollate,
        key_val_metric={"mre_mm": MeanRadialErrorHandler(output_transform=points_in_mm)},
        additional_metrics=detection_rate_handlers(RADII, output_transform=points_in_mm, save_details=True),
        val_handlers=[
            StatsHandler(name=None, iteration_log=False),
            TensorBoardStatsHandler(summary_writer=Writer(), iteration_log=False),
            MetricsSaver(
                save_dir=str(tmp_path),
                metric_details="*",
                summary_ops="*",
                batch_transform=file_names,
            ),
        ],
    )
    with caplog.at_level(logging.INFO):
        evaluator.run()
    metrics = evaluator.state.metrics
    names = ["mre_mm", *(f"sdr_{radius}mm" for radius in RADII)]
    assert list(metrics) == names
    line = next(record.getMessage() for record in caplog.records if "Metrics --" in record.getMessage())
    for name in names:
        assert f"{name}: {metrics[name]:.4f}" in line
    assert written == metrics
    saved = dict(row.split(",") for row in (tmp_path / "metrics.csv").read_text().splitlines())
    assert {name: float(value) for name, value in saved.items()} == metrics
    rows = (tmp_path / "sdr_2.0mm_raw.csv").read_text().splitlines()
    assert len(rows) == IMAGES + 1
    assert [row.split(",")[0] for row in rows[1:]] == [item["name"] for item in items()]
    cells = {cell for row in rows[1:] for cell in row.split(",")[1:-1]}
    assert {float(cell) for cell in cells - {"nan"}} == {0.0, 100.0}
    assert (tmp_path / "mre_mm_summary.csv").exists()


@pytest.mark.parametrize("decollate", [False, True], ids=["batched", "decollated"])
def test_training_keeps_the_checkpoint_of_the_lowest_error(decollate: bool, tmp_path: Path) -> None:
    network = Shift(5.0)
    evaluator = make_evaluator(
        network,
        decollate,
        key_val_metric={"mre_mm": MeanRadialErrorHandler(output_transform=points_in_mm)},
        metric_cmp_fn=lower_is_better,
        val_handlers=[
            CheckpointSaver(
                save_dir=str(tmp_path),
                save_dict={"network": network},
                save_key_metric=True,
                key_metric_filename="best.pt",
                key_metric_negative_sign=True,
            )
        ],
    )
    seen: list[tuple[float, float]] = []
    evaluator.add_event_handler(
        Events.EPOCH_COMPLETED, lambda engine: seen.append((engine.state.metrics["mre_mm"], network.offset.item()))
    )
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=6,
        train_data_loader=DataLoader(Dataset([{"image": np.zeros((1, 2), np.float32), "label": np.zeros(1)}])),
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=1.5),
        loss_function=lambda found, label: found.mean(),  # moves the offset down by 1.5 an epoch, through the best
        train_handlers=[ValidationHandler(interval=1, validator=evaluator)],
    )
    trainer.run()
    errors = [error for error, _ in seen]
    assert len(errors) == 6
    assert 0 < int(np.argmin(errors)) < 5  # the best is neither the first nor the last epoch
    assert evaluator.state.best_metric == min(errors)
    assert evaluator.state.best_metric_epoch == int(np.argmin(errors)) + 1
    best = torch.load(tmp_path / "best.pt")["offset"].item()
    assert best == pytest.approx(seen[int(np.argmin(errors))][1])


@pytest.mark.parametrize(
    ("current", "best", "better"),
    [(1.0, 2.0, True), (2.0, 1.0, False), (1.0, 1.0, False), (1.0, math.nan, True), (math.nan, 1.0, False)],
)
def test_lower_is_better(current: float, best: float, better: bool) -> None:
    assert lower_is_better(current, best) is better
    assert lower_is_better(math.nan, math.nan) is False


@pytest.mark.parametrize("make", [MeanRadialErrorHandler, SuccessfulDetectionRateHandler])
def test_update_and_reduction_stay_on_the_device(make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    handler = make(save_details=False)

    def raising(self: torch.Tensor, *args: object) -> None:
        raise AssertionError("the metric leaves its device.")

    with monkeypatch.context() as patch:
        for name in ("cpu", "numpy", "item", "tolist", "__array__", "__bool__"):
            patch.setattr(torch.Tensor, name, raising)
        handler.reset()
        handler.update((torch.ones(2, 3, 2), torch.zeros(2, 3, 2)))
        handler.update(([torch.ones(3, 2)], [torch.zeros(3, 2)]))
        handler.metric_fn.aggregate()
    assert handler.compute() == pytest.approx(100.0 if make is SuccessfulDetectionRateHandler else math.sqrt(2))


def test_refuses_what_the_metrics_refuse() -> None:
    with pytest.raises(ConfigError):
        SuccessfulDetectionRateHandler(radius=0)
    with pytest.raises(ConfigError):
        detection_rate_handlers([2.0, -1.0])
    with pytest.raises(ValueError, match="sum"):
        MeanRadialErrorHandler(reduction="sum")
    assert list(detection_rate_handlers([2, 10], unit="px")) == ["sdr_2.0px", "sdr_10.0px"]
