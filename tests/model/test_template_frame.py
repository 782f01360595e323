"""Bringing images to the template's frame, with a stand-in that finds a bright dot, and with the real inferer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor, decollate_batch, list_data_collate
from PIL import Image
from torch import Tensor

from bundle.data import LoadRadiograph
from bundle.io.template import read_template
from bundle.matching.settings import MatchingSettings
from bundle.model import TemplateFrameInferer, create_inferer, zero_shot_model
from tests.conftest import Sample
from tests.io.image_files import write_dicom
from tests.workflows.running import TINY_NETWORK

HEIGHT, WIDTH = 40, 60
DOT = (13, 7)  # x, y


class DotFinder:
    """Finds the brightest pixel; surer the further to the left it is."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, ...]] = []

    def __call__(self, images: Tensor, network: Any) -> Tensor:
        self.sizes.append(tuple(images.shape))
        found = []
        for image in images:
            row, column = divmod(int(image[0].argmax()), image.shape[-1])
            found.append([[column, row, 0.9, 1.5, 4.0, 1 - column / image.shape[-1], 8.0]])
        return torch.tensor(found, dtype=torch.float32)


def image(dot: tuple[int, int] = DOT, **meta: Any) -> MetaTensor:
    pixels = torch.zeros(1, HEIGHT, WIDTH)
    pixels[0, dot[1], dot[0]] = 1
    return MetaTensor(pixels, meta=meta)


def batch(*images: MetaTensor) -> Any:
    return list_data_collate([{"image": one} for one in images])["image"]


def find(inputs: Tensor, pixel: tuple[float, float] = (1.0, 1.0)) -> tuple[Tensor, DotFinder]:
    finder = DotFinder()
    return TemplateFrameInferer(finder, pixel)(inputs, None), finder


@pytest.mark.parametrize("side", ["no", "yes", "auto"])
def test_points_come_back_in_pixels_of_the_file(side: str) -> None:
    found, _ = find(batch(image(mirror=side)))
    assert found.shape == (1, 1, 7) and found[0, 0, :2].tolist() == list(DOT)


def test_ordinary_images_go_through_together_and_unchanged() -> None:
    images = [image(mirror="no", pixel_size=pair) for pair in ((0.1, 0.1), (1.0, 1.0), (0.2, 0.201))]
    found, finder = find(batch(*images), (0.3, 0.3))
    assert finder.sizes == [(3, 1, HEIGHT, WIDTH)]
    torch.testing.assert_close(found, DotFinder()(batch(*images), None))


@pytest.mark.parametrize("plain", [torch.zeros(2, 1, HEIGHT, WIDTH), MetaTensor(torch.zeros(2, 1, HEIGHT, WIDTH))])
def test_images_without_meta_data(plain: Tensor) -> None:
    found, finder = find(plain, (0.1, 0.2))
    assert len(found) == 2
    assert finder.sizes == [(1, 1, HEIGHT * 1, WIDTH * 2)] * 2  # square pixels, seen as the template's


def test_meta_data_of_one_image_that_was_not_collated() -> None:
    single = image(mirror="yes", pixel_size=(0.1, 0.2))
    found, _ = find(single[None])
    np.testing.assert_allclose(found[0, 0, :2], DOT, atol=0.5)


def test_auto_keeps_the_match_of_the_higher_confidence() -> None:
    left, right = image((3, 5), mirror="auto"), image((50, 5), mirror="auto")
    found, finder = find(batch(left, right))
    assert found[:, 0, :2].tolist() == [[3, 5], [50, 5]]
    assert len(finder.sizes) == 4
    confidence = found[:, 0, 5]
    torch.testing.assert_close(confidence, torch.tensor([1 - 3 / WIDTH, 1 - (WIDTH - 1 - 50) / WIDTH]))


@pytest.mark.parametrize(
    ("pixel", "template", "size"),
    [
        ((0.1, 0.2), (1, 1), (2 * HEIGHT, WIDTH)),
        ((0.2, 0.1), (0.5, 0.5), (HEIGHT, 2 * WIDTH)),
        ((0.1, 0.1), (0.1, 0.2), (HEIGHT, 2 * WIDTH)),
        ((0.1, 0.2), (0.3, 0.6), (HEIGHT, WIDTH)),
        ((0.1, 0.15), (0.2, 0.1), (3 * HEIGHT, WIDTH)),
        ((0.001, 1.0), (1, 1), (HEIGHT, WIDTH)),
    ],
)
@pytest.mark.parametrize("mirror", ["no", "yes"])
def test_pixels_of_another_shape(
    pixel: tuple[float, float], template: tuple[float, float], size: tuple[int, int], mirror: str
) -> None:
    found, finder = find(batch(image(mirror=mirror, pixel_size=pixel)), template)
    assert finder.sizes == [(1, 1, *size)]
    np.testing.assert_allclose(found[0, 0, :2], DOT, atol=0.5)
    x, y = size[1] / WIDTH, size[0] / HEIGHT
    factor = math.sqrt((x**-2 + y**-2) / 2)
    np.testing.assert_allclose(found[0, 0, [3, 4, 6]], [1.5, 4 * factor, 8 * factor], rtol=1e-6)


def test_a_mixed_batch() -> None:
    images = [image(mirror="no", pixel_size=(0.1, 0.1)), image(mirror="yes", pixel_size=(0.1, 0.2))]
    together, _ = find(batch(*images))
    apart = torch.cat([find(batch(one))[0] for one in images])
    torch.testing.assert_close(together, apart)
    assert len(decollate_batch(batch(*images))) == 2


def test_a_real_image_squeezed_and_of_the_wrong_side(sample: Sample, tmp_path: Any) -> None:
    """Half the rows and in the mirror: the points are those of the image as it was."""
    template = read_template(sample.image, sample.landmarks)
    network = zero_shot_model(template, network=TINY_NETWORK).network
    inferer = TemplateFrameInferer(create_inferer(template, MatchingSettings()), template.pixel_size)
    query = sorted(sample.images.iterdir())[0]
    plain = LoadRadiograph()(query)
    height, width = plain.shape[1:]
    grey = Image.fromarray((plain[0].numpy() * 255).astype(np.uint8)).resize((width, height // 2), Image.Resampling.BOX)
    Image.fromarray(np.asarray(grey)[:, ::-1]).save(tmp_path / "a.png")
    wanted = inferer(batch(plain), network)[0]
    load = LoadRadiograph(spacing=(0.1, 0.2), flip="auto")
    found = inferer(batch(load(tmp_path / "a.png")), network)[0]
    x, y = width - 1 - found[:, 0], (found[:, 1] + 0.5) * 2 - 0.5
    apart = torch.hypot(x - wanted[:, 0], y - wanted[:, 1])
    assert apart.median() < 1.5 and apart.mean() < 4
    upright = np.asarray(grey).astype(np.uint16)
    by_ratio = write_dicom(tmp_path / "ratio.dcm", upright, PixelAspectRatio=[2, 1])
    by_spacing = write_dicom(tmp_path / "spacing.dcm", upright, PixelSpacing=[0.8, 0.4])
    same, wanted_same = (inferer(batch(LoadRadiograph()(path)), network)[0] for path in (by_ratio, by_spacing))
    torch.testing.assert_close(same, wanted_same)
    lost = inferer(batch(LoadRadiograph()(tmp_path / "a.png")), network)[0]
    assert torch.hypot(width - 1 - lost[:, 0] - wanted[:, 0], (lost[:, 1] + 0.5) * 2 - 0.5 - wanted[:, 1]).mean() > 20
