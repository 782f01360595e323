import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from monai.transforms import Compose

from bundle.errors import ConfigError
from bundle.model import build_network
from bundle.networks import NetworkSettings, OneShotNetwork
from bundle.records.landmarks import LandmarkSet
from bundle.records.radiograph import Template
from bundle.training import LocalStage, StageTrainer
from bundle.training.decoder_training import StageFeatures, WarpedTemplate, _Batches
from bundle.training.losses import DistanceAwareSimilarityLoss
from tests.workflows.running import TINY_NETWORK

POINTS = np.array([[30.0, 40.0], [90.0, 50.0], [60.0, 100.0], [3.0, 4.0]])


@pytest.fixture(scope="module")
def network() -> OneShotNetwork:
    return build_network(NetworkSettings(**TINY_NETWORK, local_channels=8))


@pytest.fixture(scope="module")
def warps() -> WarpedTemplate:
    """Copies of the template."""
    pixels = torch.rand(1, 1, 30, 25, generator=torch.Generator().manual_seed(0))
    pixels = torch.nn.functional.interpolate(pixels, size=(150, 125), mode="bicubic").clamp(0, 1)[0, 0].numpy()
    template = Template(pixels, LandmarkSet(tuple("abcd"), POINTS), None, "template")
    return WarpedTemplate(template, Compose([]), count=3, seed=0)


def stage_of(network: OneShotNetwork, **changed: Any) -> LocalStage:
    return LocalStage(network, **{"jitter": 10, "seed": 0, "landmarks": len(POINTS), **changed})


def test_crops_are_shifted_at_random_but_always_alike(network: OneShotNetwork, warps: WarpedTemplate) -> None:
    (first, cells), (again, same) = (stage_of(network).encode(warps[0], 0) for _ in range(2))
    assert torch.equal(first, again) and torch.equal(cells, same)
    _, other = stage_of(network).encode(warps[0], 1)
    _, seeded = stage_of(network, seed=1).encode(warps[0], 0)
    assert not torch.equal(cells, other) and not torch.equal(cells, seeded)
    rows, columns = network.settings.decoded_crop
    assert cells.shape == (4, 1, 2) and (cells > -0.5).all() and (cells < max(rows, columns) - 0.5).all()


def test_crops_are_inside_the_image(network: OneShotNetwork, warps: WarpedTemplate) -> None:
    """The last landmark is three pixels from the corner, so the crop has it there, however it is shifted."""
    _, cells = stage_of(network, jitter=2).encode(warps[0], 0)
    side, window = network.settings.decoded_crop[0], network.settings.local_window
    expected = (torch.tensor(POINTS[-1]) + 0.5) * side / window - 0.5
    torch.testing.assert_close(cells[-1, 0].double(), expected)


def test_batch_normalisation_sees_one_landmark_at_a_time(network: OneShotNetwork) -> None:
    """Three warps of four landmarks: as the decoder gives it for the three crops of each landmark alone."""
    network = copy.deepcopy(network).train()
    assert network.local_decoder is not None
    alone = copy.deepcopy(network.local_decoder)
    stage = stage_of(network)
    features = torch.randn(12, network.encoder.channels, 8, 8, generator=torch.Generator().manual_seed(0))
    found, size = stage(features), network.settings.decoded_crop
    for landmark in range(4):
        torch.testing.assert_close(found[landmark::4], alone(features[landmark::4], size))
    for ours, expected in zip(network.local_decoder.buffers(), alone.buffers(), strict=True):
        torch.testing.assert_close(ours, expected)
    network.eval()
    torch.testing.assert_close(stage(features), network.local_decoder(features, size))


def test_batches_join_the_crops_of_warps_and_go_on_where_they_stopped(
    network: OneShotNetwork, warps: WarpedTemplate, tmp_path: Path
) -> None:
    features = StageFeatures(warps, stage_of(network), tmp_path, range(3))

    def left(done: int, epoch: int = 1, size: int = 1) -> list[dict[str, torch.Tensor]]:
        state = SimpleNamespace(epoch=epoch, iteration=done, epoch_length=3 // size)
        return list(_Batches(SimpleNamespace(features=features, state=state), size, seed=0))  # type: ignore[arg-type]

    (batch,) = left(0, size=2)  # what is left over waits for another epoch
    assert batch["image"].shape[0] == batch["label"].shape[0] == 8 and batch["image"].dtype == torch.float32
    whole = left(0)
    assert sorted(float(one["image"].sum()) for one in whole) == sorted(float(one["image"].sum()) for one in features)
    assert torch.equal(batch["image"], torch.cat([one["image"] for one in whole[:2]]))
    assert [float(one["image"].sum()) for one in left(2)] == [float(whole[2]["image"].sum())]
    others = [[float(one["image"].sum()) for one in left(0, epoch)] for epoch in range(1, 6)]
    assert len({tuple(order) for order in others}) > 1


def test_less_than_one_batch_of_warps(network: OneShotNetwork, warps: WarpedTemplate, tmp_path: Path) -> None:
    loss, optimizer = DistanceAwareSimilarityLoss(2.0), torch.optim.Adam
    with pytest.raises(ConfigError, match="there are 3 warps for 1 ranks, which is less than one batch"):
        StageTrainer(stage_of(network), warps, loss, optimizer, tmp_path, max_epochs=1, batch_size=4, seed=0)
