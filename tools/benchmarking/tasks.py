"""What is timed: inference of one image, and a step of each stage of the training, each in two ways.

A task gives seconds of several repeats, scaled to the whole where only a part of it was done, and what it was scaled
from. Images are smooth noise, landmarks lie at random inside: the cost depends on sizes alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bundle.geometry import PaperRounding
from bundle.matching.settings import MatchingSettings
from bundle.model import PaperInferer
from bundle.model.memory import reuse_memory
from bundle.networks.resampling import resize, working_size
from bundle.networks.windows import padded_windows
from bundle.records.landmarks import LandmarkSet
from bundle.records.template import Template
from bundle.training.losses import DistanceAwareSimilarityLoss
from tests.reference import full_size
from tools.benchmarking.methods import SEED, Preset, product, reference

IMAGE_SIZE = (2400, 1935)
LANDMARKS = 19

#: Of the literal steps only so much is done; the rest is the same again.
REFERENCE_LANDMARKS = 2
REFERENCE_WARPS = 1
REFERENCE_CROPS = 1
PRODUCT_CROPS = 8


class Timing(NamedTuple):
    """Result of a task.

    Attributes:
        seconds: of each repeat, scaled to the whole.
        scaled_from: what was done of the whole; empty where all of it was.
    """

    seconds: list[float]
    scaled_from: dict[str, int]


class Scene(NamedTuple):
    """What all tasks work on."""

    template: Tensor  # (H, W)
    query: Tensor  # (H, W)
    landmarks: list[tuple[int, int]]  # whole pixels (x, y)


def make_scene(device: torch.device) -> Scene:
    """Two radiographs' worth of smooth noise with landmarks whose crops lie inside."""
    generator = torch.Generator().manual_seed(SEED)
    coarse = torch.rand(2, 1, 40, 32, generator=generator)
    images = F.interpolate(coarse, size=IMAGE_SIZE, mode="bicubic")[:, 0].clamp(0, 1)
    images = (0.9 * images + 0.1 * torch.rand(images.shape, generator=generator)).to(device)
    margin = 200
    x = torch.randint(margin, IMAGE_SIZE[1] - margin, (LANDMARKS,), generator=generator)
    y = torch.randint(margin, IMAGE_SIZE[0] - margin, (LANDMARKS,), generator=generator)
    return Scene(images[0], images[1], list(zip(x.tolist(), y.tolist())))


def repeated(action: Callable[[], Any], repeats: int, device: torch.device, warm_up: bool = True) -> list[float]:
    """Seconds of each repeat, after one that does not count."""
    seconds = []
    for count in range(repeats + warm_up):
        start = time.perf_counter()
        action()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if count or not warm_up:
            seconds.append(time.perf_counter() - start)
    return seconds


def inference_product(preset: Preset, device: torch.device, repeats: int) -> Timing:
    """All landmarks on one image, the template known."""
    scene, network = make_scene(device), product(preset, device)
    names = tuple(f"L{number}" for number in range(LANDMARKS))
    landmarks = LandmarkSet(names, np.array(scene.landmarks, dtype=np.float64))
    template = Template(scene.template.cpu().numpy(), landmarks, spacing=None, name="template")
    inferer = PaperInferer(template, MatchingSettings(strategy="paper", k=preset.candidates, subpixel=False))
    image = scene.query[None, None]
    with torch.no_grad():
        inferer.known_template(network, device)  # once a run
    return Timing(repeated(lambda: inferer(image, network), repeats, device, warm_up=device.type == "cuda"), {})


def inference_reference(preset: Preset, device: torch.device, repeats: int) -> Timing:
    """The whole image and some landmarks, scaled: the cost of each landmark is the same."""
    scene, network = make_scene(device), product(preset, device)
    method = reference(preset, network, device)
    few = scene.landmarks[:REFERENCE_LANDMARKS]
    known = full_size.describe_template(method, scene.template, few)

    def whole() -> None:
        full_size.find(method, known._replace(regions=[]), [], scene.query, preset.candidates)

    def with_few() -> None:
        full_size.find(method, known, few, scene.query, preset.candidates)

    base = repeated(whole, repeats, device, warm_up=device.type == "cuda")
    both = repeated(with_few, repeats, device, warm_up=device.type == "cuda")
    scaled = [one + max(0.0, two - one) * LANDMARKS / len(few) for one, two in zip(base, both)]
    return Timing(scaled, {"landmarks": len(few)})


def train_global_product(preset: Preset, device: torch.device, repeats: int) -> Timing:
    """A step on cached features; as in the training, freed memory is kept."""
    reuse_memory()
    scene, network = make_scene(device), product(preset, device)
    decoder = network.global_decoder
    assert decoder is not None
    image, settings = scene.template[None, None], preset.network
    size = working_size((image.shape[-2], image.shape[-1]), settings.working_sides[0], settings.working_side)
    working = resize(image, size, settings.resampling)
    size = (working.shape[-2], working.shape[-1])
    (features,) = network.encode_global(scene.template[None, None])
    features = features.expand(preset.batch, -1, -1, -1).contiguous()
    (decoded_size,) = network.global_sizes(IMAGE_SIZE)
    cells = PaperRounding().to_cells(torch.tensor(scene.landmarks, device=device).float(), IMAGE_SIZE, size)
    step = _step(
        decoder,
        lambda: decoder(features, decoded_size),
        cells.expand(preset.batch, -1, -1),
        preset.global_sigma,
        preset,
    )
    return Timing(repeated(step, repeats, device), {})


def train_global_reference(preset: Preset, device: torch.device, repeats: int) -> Timing:
    """A step of fewer images, encoder and all."""
    scene, network = make_scene(device), product(preset, device)
    method = reference(preset, network, device)
    working = method.working_image(scene.template).expand(REFERENCE_WARPS, -1, -1, -1)
    size = (working.shape[-2], working.shape[-1])
    cells = (
        PaperRounding().to_cells(torch.tensor(scene.landmarks).double(), IMAGE_SIZE, size).expand(len(working), -1, -1)
    )
    optimizer = torch.optim.Adam(method.global_conv.parameters(), lr=preset.learning_rate)
    seconds = repeated(
        lambda: full_size.global_iteration(method, working, cells, preset.global_sigma, optimizer),
        min(repeats, 2),
        device,
        warm_up=device.type == "cuda",
    )
    factor = preset.batch / REFERENCE_WARPS
    return Timing([value * factor for value in seconds], {"warps": REFERENCE_WARPS})


def train_local_product(preset: Preset, device: torch.device, repeats: int) -> Timing:
    """A step on the cached features of some crops, scaled; as in the training, freed memory is kept."""
    reuse_memory()
    scene, network = make_scene(device), product(preset, device)
    decoder = network.local_decoder
    assert decoder is not None
    decoder.train()
    crops, cells = _crops(scene, preset, device, PRODUCT_CROPS)
    features = network.encode_local(crops)
    size = preset.network.decoded_crop
    step = _step(decoder, lambda: decoder(features, size), cells, preset.local_sigma, preset)
    factor = preset.batch * LANDMARKS / len(crops)
    return Timing([value * factor for value in repeated(step, repeats, device)], {"crops": len(crops)})


def train_local_reference(preset: Preset, device: torch.device, repeats: int) -> Timing:
    """A step on fewer crops, encoder and all."""
    scene, network = make_scene(device), product(preset, device)
    method = reference(preset, network, device)
    method.up.train()
    crops, cells = _crops(scene, preset, device, REFERENCE_CROPS)
    parameters = [*method.up.parameters(), *method.local_conv.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=preset.learning_rate)
    seconds = repeated(
        lambda: full_size.local_iteration(method, crops[None], cells[None, :, 0], preset.local_sigma, optimizer),
        repeats,
        device,
    )
    factor = preset.batch * LANDMARKS / REFERENCE_CROPS
    return Timing([value * factor for value in seconds], {"crops": REFERENCE_CROPS})


def _crops(scene: Scene, preset: Preset, device: torch.device, count: int) -> tuple[Tensor, Tensor]:
    """Crops of the template, (count, 1, S, S), and the landmark's cell on each, (count, 1, 2)."""
    landmarks = torch.tensor(scene.landmarks[:count], device=device).float()
    windows = padded_windows(scene.template[None], landmarks + 20, preset.network.local_window)
    return windows.crops, (landmarks - windows.origins)[:, None]


def _step(
    decoder: nn.Module, decode: Callable[[], Tensor], cells: Tensor, sigma: float, preset: Preset
) -> Callable[[], None]:
    optimizer = torch.optim.Adam(decoder.parameters(), lr=preset.learning_rate)
    loss_function = DistanceAwareSimilarityLoss(sigma)

    def step() -> None:
        optimizer.zero_grad()
        loss_function(decode(), cells).backward()
        optimizer.step()

    return step


TASKS: dict[str, dict[str, Callable[[Preset, torch.device, int], Timing]]] = {
    "inference": {"reference": inference_reference, "product": inference_product},
    "train_global": {"reference": train_global_reference, "product": train_global_product},
    "train_local": {"reference": train_local_reference, "product": train_local_product},
}
