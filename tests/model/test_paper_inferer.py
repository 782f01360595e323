"""The paper's strategy as the product runs it, against the literal coarse-to-fine prediction."""

import copy
import math
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import timm
import torch
from monai.data import MetaTensor
from torch import Tensor, nn
from torch.nn import functional as F

from bundle.encoders import create_encoder
from bundle.errors import ConfigError
from bundle.matching.settings import MatchingSettings
from bundle.model import PaperInferer
from bundle.networks import NetworkSettings, OneShotNetwork
from bundle.networks.crops import clipped_windows
from bundle.records.landmarks import LandmarkSet
from bundle.records.prediction import PREDICTION_COLUMNS
from bundle.records.radiograph import Template
from bundle.training.losses import DistanceAwareSimilarityLoss
from tests.reference.channels import public_weight
from tests.reference.decoders import local_features
from tests.reference.full_size import (
    FullSize,
    LiteralTransformer,
    describe_template,
    find,
    global_iteration,
    local_iteration,
    with_public_weights,
)
from tests.reference.fusion import clipped_crop, unit_length
from tests.reference.matching import Match, coordinate_to_index, index_to_pixel
from tests.reference.models import seeded_model, shallow_model
from tests.reference.prediction import Pipeline, predict

TINY = "vit_tiny_patch16_224"
SMALL = "vit_small_patch8_224.dino"


def radiograph(size: tuple[int, int], seed: int) -> np.ndarray:
    """Soft shapes and a little grain, 0 to 1 in 8 bits, in double precision."""
    generator = torch.Generator().manual_seed(seed)
    soft = F.interpolate(torch.rand(1, 1, 9, 8, generator=generator), size=size, mode="bicubic")[0, 0].double()
    grain = torch.rand(*size, generator=generator).double()
    return ((0.85 * soft + 0.15 * grain).clamp(0, 1) * 255).round().numpy() / 255


def random_network(
    name: str = TINY, *, block: int = 1, short_side: int = 64, window: int = 64, local: bool = True, seed: int = 0
) -> OneShotNetwork:
    """The paper's network with few channels, random numbers everywhere, in double precision."""
    settings = NetworkSettings(
        encoder={"name": name},
        log_binning=True,
        working_sides=(short_side,),
        working_side="short",
        grey_values="eight_bit",
        resampling="lanczos",
        negative=False,
        whitening=False,
        global_channels=8,
        local_channels=8 if local else 0,
        local_side=0,
        local_window=window,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timm, "create_model", lambda name, **options: shallow_model(name, block + 1, **options))
        encoder = create_encoder(name=name, weights="random", seed=seed, block=block, stride=4)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed + 1)
        network = OneShotNetwork(settings, encoder).double().eval()
        if network.local_decoder is not None:
            norm = network.local_decoder.up[1]
            norm.running_mean.normal_(std=0.1)
            norm.running_var.uniform_(0.5, 2.0)
    return network


def literal(network: OneShotNetwork, seed: int = 0) -> Pipeline:
    """The same weights for the literal prediction, in its order; the encoder is drawn once more, whole."""
    settings = network.settings
    state = network.state_dict()
    for key, dim in (("global_decoder.conv.weight", 1), ("local_decoder.up.0.weight", 0)):
        if key in state:
            state[key] = public_weight(state[key], dim, network.binning.bins, network.encoder.heads)
    local = {key.removeprefix("local_decoder."): value for key, value in state.items() if key.startswith("local")}
    block = network.encoder.spec["block"]
    model = seeded_model(settings.encoder.name, seed, depth=block + 1, dynamic_img_size=True).double()
    return Pipeline(
        model=model,
        stride=network.encoder.stride,
        block=block,
        short_side=settings.working_sides[0],
        window=settings.local_window,
        global_weight=state["global_decoder.conv.weight"],
        global_bias=state["global_decoder.conv.bias"],
        local=local or None,
        mean=model.pretrained_cfg["mean"],
        std=model.pretrained_cfg["std"],
    )


def annotated(pixels: np.ndarray, points: list[tuple[int, int]]) -> Template:
    names = tuple(f"L{number}" for number in range(len(points)))
    return Template(pixels, LandmarkSet(names, np.array(points, dtype=np.float64)), spacing=None, name="template.png")


def infer(network: OneShotNetwork, template: Template, query: np.ndarray, k: int) -> Tensor:
    inferer = PaperInferer(template, MatchingSettings(strategy="paper", k=k, subpixel=False))
    return inferer(torch.from_numpy(query)[None, None], network)[0]


def assert_same(found: Tensor, expected: list[Match]) -> None:
    """Points to the pixel, scores to rounding."""
    assert found[:, :2].tolist() == [[match.x, match.y] for match in expected]
    torch.testing.assert_close(found[:, 2].tolist(), [match.similarity for match in expected], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found[:, 3].tolist(), [match.error for match in expected], rtol=1e-6, atol=1e-6)
    assert torch.count_nonzero(found[:, 4]) == 0


@pytest.fixture(scope="module")
def network() -> OneShotNetwork:
    return random_network()


#: Inside, at the borders and in the corners of an image of 97 x 120 pixels.
POINTS = [(48, 60), (0, 0), (96, 0), (0, 119), (96, 119), (17, 99)]


@pytest.fixture(scope="module")
def expected(network: OneShotNetwork) -> list[Match]:
    """The literal prediction of all the points with three candidates."""
    images = [torch.from_numpy(radiograph(size, seed)) for size, seed in (((120, 97), 1), ((97, 131), 2))]
    return predict(literal(network), images[0], POINTS, images[1], 3)


def test_coarse_to_fine_equals_the_literal_prediction(network: OneShotNetwork, expected: list[Match]) -> None:
    found = infer(network, annotated(radiograph((120, 97), 1), POINTS), radiograph((97, 131), 2), 3)
    assert_same(found, expected)
    assert len({tuple(point) for point in found[:, :2].tolist()}) > 1


@pytest.mark.parametrize("k", [1, 5])
def test_other_numbers_of_candidates(network: OneShotNetwork, k: int) -> None:
    template, query, points = radiograph((120, 97), 1), radiograph((97, 131), 2), POINTS[4:]
    found = infer(network, annotated(template, points), query, k)
    assert_same(found, predict(literal(network), torch.from_numpy(template), points, torch.from_numpy(query), k))


@pytest.mark.parametrize(("template_size", "query_size"), [((97, 131), (97, 131)), ((64, 64), (121, 77))])
def test_other_shapes(network: OneShotNetwork, template_size: tuple[int, int], query_size: tuple[int, int]) -> None:
    """The second template has the working size already, and no crop of it is whole."""
    template, query = radiograph(template_size, 3), radiograph(query_size, 4)
    points = [(0, 0), (template_size[1] - 1, template_size[0] - 1), (40, 33)]
    found = infer(network, annotated(template, points), query, 3)
    assert_same(found, predict(literal(network), torch.from_numpy(template), points, torch.from_numpy(query), 3))


def test_the_papers_transformer_with_small_patches_and_one_landmark() -> None:
    network = random_network(SMALL, block=2, short_side=40, window=32)
    template, query = radiograph((61, 50), 5), radiograph((53, 64), 6)
    found = infer(network, annotated(template, [(21, 40)]), query, 3)
    assert_same(found, predict(literal(network), torch.from_numpy(template), [(21, 40)], torch.from_numpy(query), 3))


def test_without_a_local_decoder_the_coarse_points_are_the_result() -> None:
    network = random_network(local=False)
    template, query = radiograph((120, 97), 1), radiograph((97, 131), 2)
    found = infer(network, annotated(template, POINTS), query, 3)
    pipeline = literal(network)
    assert pipeline.local is None
    assert_same(found, predict(pipeline, torch.from_numpy(template), POINTS, torch.from_numpy(query), 3))


def test_features_in_single_precision(network: OneShotNetwork) -> None:
    """Global features and those of a clipped crop: 1e-4 of the literal ones in double precision."""
    single, pipeline = copy.deepcopy(network).float(), literal(network)
    image = torch.from_numpy(radiograph((120, 97), 1))
    with torch.no_grad():
        grey = image.float()[None, None]
        whole = single.decode_global(single.encode_global(grey), single.global_sizes((120, 97)))[0][0]
        crop = clipped_windows(grey[0], torch.tensor([[90.0, 110.0]]), 64)[0].crops
        local = single.decode_local(single.encode_local(crop), (crop.shape[2], crop.shape[3]))[0]
        expected = pipeline.whole(image)
        same, left, top = clipped_crop(image, 90, 110, 64)
        decoded = unit_length(local_features(pipeline.binned(same), tuple(same.shape), pipeline.local))
    torch.testing.assert_close(whole.double(), expected, rtol=0, atol=1e-4 * float(expected.abs().max()))
    assert (left, top) == (58, 78)
    torch.testing.assert_close(F.normalize(local, dim=0).double(), decoded, rtol=0, atol=1e-4)


def test_points_in_single_precision(network: OneShotNetwork, expected: list[Match]) -> None:
    """Where no decision hangs on a difference of similarity that single precision cannot hold."""
    template, query = (radiograph(*which).astype(np.float32) for which in (((120, 97), 1), ((97, 131), 2)))
    found = infer(copy.deepcopy(network).float(), annotated(template, POINTS), query, 3)
    clear = [match.margin > 1e-6 for match in expected]
    assert sum(clear) > len(expected) / 2, "too few clear decisions to tell anything"
    for point, match, decided in zip(found[:, :2].tolist(), expected, clear):
        assert not decided or point == [match.x, match.y]


def test_an_image_is_matched_to_itself(network: OneShotNetwork) -> None:
    """The coarse stage can find only pixels of cells; from one of those the fine stage sees the very same crop."""
    pixels = radiograph((120, 97), 7)
    xs = [x for x in range(97) if is_of_a_cell(x, 97, 64)]
    ys = [y for y in range(120) if is_of_a_cell(y, 120, 79)]
    points = list(zip(xs[::5], ys[::6]))
    assert len(points) > 4
    found = infer(network, annotated(pixels, points), pixels, 1)
    assert [tuple(point) for point in found[:, :2].tolist()] == points
    ones = torch.ones(len(points), dtype=torch.float64)
    torch.testing.assert_close(found[:, 2], ones)
    assert torch.count_nonzero(found[:, 3]) == 0
    assert found.shape[1] == len(PREDICTION_COLUMNS)
    torch.testing.assert_close(found[:, 5], ones)


def is_of_a_cell(pixel: int, image_size: int, map_size: int) -> bool:
    return index_to_pixel(coordinate_to_index(pixel, image_size, map_size), image_size, map_size) == pixel


def test_a_batch_gives_what_its_images_give(network: OneShotNetwork) -> None:
    template = annotated(radiograph((120, 97), 1), POINTS[:3])
    images = torch.stack([torch.from_numpy(radiograph((97, 90), seed)) for seed in (2, 3)])[:, None]
    inferer = PaperInferer(template, MatchingSettings(strategy="paper", subpixel=False))
    found = inferer(MetaTensor(images), network)
    assert type(found) is Tensor
    assert found.shape == (2, 3, 7)
    for image, result in zip(images, found):
        torch.testing.assert_close(infer(network, template, image[0].numpy(), 3), result, equal_nan=True)


class TestTemplateIsDescribedOnce:
    query = torch.from_numpy(radiograph((97, 131), 2))[None, None]

    @staticmethod
    def counting(inferer: PaperInferer, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
        calls: list[Any] = []
        describe = inferer.describe_template
        monkeypatch.setattr(inferer, "describe_template", lambda *args: calls.append(args) or describe(*args))
        return calls

    @pytest.mark.parametrize("local", [True, False])
    def test_until_the_network_changes(self, monkeypatch: pytest.MonkeyPatch, local: bool) -> None:
        template = annotated(radiograph((120, 97), 1), POINTS[:2])
        inferer = PaperInferer(template, MatchingSettings(strategy="paper", subpixel=False))
        calls = self.counting(inferer, monkeypatch)
        network = random_network(local=local)
        first = inferer(self.query, network)
        assert torch.allclose(inferer(self.query, network), first, rtol=0, atol=0, equal_nan=True)
        assert len(calls) == 1
        with torch.no_grad():
            network.global_decoder.conv.weight.mul_(-0.5)
        changed = inferer(self.query, network)
        assert len(calls) == 2
        assert torch.allclose(changed, infer_with(template, network, self.query), rtol=0, atol=0, equal_nan=True)

    def test_also_where_nothing_can_be_trained(self) -> None:
        """Two encoders without decoders have states that are equal: empty."""
        template = annotated(radiograph((120, 97), 1), POINTS[:2])
        inferer = PaperInferer(template, MatchingSettings(strategy="paper", subpixel=False))
        settings = {"global_channels": 0, "local_channels": 0}
        for seed in (0, 1):
            decoded = random_network(seed=seed, local=False)
            values = {**decoded.settings.as_dict(), **settings}
            network = OneShotNetwork(NetworkSettings(**values), decoded.encoder).double()
            assert network.state_dict() == {}
            assert torch.allclose(
                inferer(self.query, network), infer_with(template, network, self.query), rtol=0, atol=0, equal_nan=True
            )
            del network, decoded


def infer_with(template: Template, network: OneShotNetwork, query: Tensor) -> Tensor:
    return PaperInferer(template, MatchingSettings(strategy="paper", subpixel=False))(query, network)


def test_several_scales_are_refused() -> None:
    settings = NetworkSettings(working_sides=(64, 96), negative=False, whitening=False, local_channels=0)
    network = OneShotNetwork(settings, create_encoder(name="xfeat")).double()
    template = annotated(radiograph((120, 97), 1), POINTS[:2])
    with pytest.raises(ConfigError, match="one scale, got 2"):
        infer(network, template, radiograph((97, 131), 2), 3)


def test_xfeat_takes_clipped_crops_as_well() -> None:
    """Its crops are brought to whole cells of eight pixels; the points still lie on the image."""
    settings = NetworkSettings(
        working_sides=(96,), negative=False, whitening=False, global_channels=4, local_channels=4, local_window=64
    )
    network = OneShotNetwork(settings, create_encoder(name="xfeat")).double().eval()
    found = infer(network, annotated(radiograph((120, 97), 1), POINTS), radiograph((97, 131), 2), 3)
    assert found[:, :6].isfinite().all()
    assert ((found[:, :2] >= 0) & (found[:, :2] < torch.tensor([131, 97]))).all()
    assert not math.isclose(float(found[:, 2].std()), 0.0)


@pytest.mark.parametrize("crop_memory_gb", [1e-9, 1e-3, 1.0])
def test_points_do_not_depend_on_the_budget_of_memory(network: OneShotNetwork, crop_memory_gb: float) -> None:
    """One crop at a time with the template's regions in a file, a few together, or all at once."""
    single = copy.deepcopy(network).float()
    template = annotated(radiograph((120, 97), 1).astype(np.float32), POINTS)
    query = torch.from_numpy(radiograph((97, 131), 2).astype(np.float32))[None, None]
    settings = MatchingSettings(strategy="paper", subpixel=False)
    found = PaperInferer(template, settings, crop_memory_gb)(query, single)[0]
    torch.testing.assert_close(found, PaperInferer(template, settings)(query, single)[0], equal_nan=True)


class TestFullSizeReference:
    """The reference that is timed is the one that goes cell by cell, and the product gives what both give."""

    @staticmethod
    def method(network: OneShotNetwork) -> FullSize:
        """The same weights, encoder with one block more than is read."""
        spec = network.encoder.spec
        model = seeded_model(network.settings.encoder.name, 0, depth=spec["block"] + 1, dynamic_img_size=True)
        heads = network.encoder.heads
        local = with_public_weights(network.local_decoder, heads)
        return FullSize(
            LiteralTransformer(model.double(), spec["stride"], spec["block"]),
            with_public_weights(network.global_decoder, heads).conv,
            local.up,
            local.conv,
            short_side=network.settings.working_sides[0],
            window=network.settings.local_window,
        )

    def test_points(self, network: OneShotNetwork, expected: list[Match]) -> None:
        template, query = (torch.from_numpy(radiograph(*which)) for which in (((120, 97), 1), ((97, 131), 2)))
        method = self.method(network)
        found = find(method, describe_template(method, template, POINTS), POINTS, query, 3)
        assert found == [(match.x, match.y) for match in expected]

    @pytest.mark.parametrize("stage", ["global", "local"])
    def test_a_step_of_the_training(self, stage: str) -> None:
        """Loss, gradients and running statistics of a step: two images with three landmarks, whole or in crops.

        The local stage has a crop a landmark, and one landmark after the other goes through the decoder.
        """
        network = random_network().train()
        method = self.method(network)
        images = torch.stack([torch.from_numpy(radiograph((64, 64), seed)) for seed in range(3, 9)])[:, None]
        cells = torch.tensor([[5.0, 60.0], [30.0, 31.0], [63.0, 0.0]], dtype=torch.float64).expand(2, -1, -1)
        if stage == "global":
            decoder, literal = network.global_decoder, method.global_conv
            maps = decoder(network.encoder(images[:2]), (64, 64))
            loss = DistanceAwareSimilarityLoss(2.0)(maps, cells)
            step = partial(global_iteration, method, images[:2], cells)
        else:
            decoder, literal = network.local_decoder, nn.ModuleList([method.up.train(), method.local_conv])
            maps = decoder(network.encoder(images), (64, 64), groups=3)
            loss = DistanceAwareSimilarityLoss(2.0)(maps, cells.reshape(-1, 1, 2))
            step = partial(local_iteration, method, images.unflatten(0, (2, 3)), cells)
        gradients = torch.autograd.grad(loss, list(decoder.parameters()))
        literal_loss = step(2.0, torch.optim.SGD(literal.parameters(), lr=0.0))
        assert loss.item() == pytest.approx(literal_loss, rel=1e-10)
        for index, (gradient, parameter) in enumerate(zip(gradients, literal.parameters())):
            if index == 0:
                dim = 1 if stage == "global" else 0
                gradient = public_weight(gradient, dim, network.binning.bins, network.encoder.heads)
            torch.testing.assert_close(gradient, parameter.grad, rtol=1e-7, atol=1e-10)
        for ours, theirs in zip(decoder.buffers(), literal.buffers(), strict=True):
            torch.testing.assert_close(ours, theirs)
        if stage == "local":
            assert decoder.up[1].num_batches_tracked == 3, "one update a landmark"


def test_the_paper_knows_one_template() -> None:
    template = annotated(radiograph((61, 50), 5), [(10, 10)])
    with pytest.raises(ConfigError, match="matches one template, but 2 were given"):
        PaperInferer(replace(template, others=(template,)), MatchingSettings(strategy="paper"))
