from typing import Any

import numpy as np
import pytest
import torch

from bundle.networks.network import resize, working_size
from tests.reference.working_image import short_side_size, working_image
from tests.workflows.running import refusal

SIZES = [
    ((120, 97), (79, 64)),
    ((97, 131), (64, 86)),
    ((300, 241), (34, 27)),
    ((50, 40), (63, 71)),
    ((64, 33), (64, 16)),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("old", "new"), SIZES)
def test_lanczos_is_pillows_on_8_bits(old: tuple[int, int], new: tuple[int, int], dtype: type) -> None:
    """Edges between black and white, where a filter in floats would leave 0 to 1."""
    grey = np.random.default_rng(2).integers(0, 256, old)
    grey[: old[0] // 2] = np.where(np.arange(old[1]) < old[1] // 2, 0, 255)
    image = grey.astype(dtype) / dtype(255)
    found = resize(torch.from_numpy(image)[None, None], new, "lanczos")[0, 0].numpy()
    assert found.shape == new and found.min() == 0 and found.max() == 1
    np.testing.assert_array_equal(found, working_image(image, new))


def test_lanczos_rounds_what_is_between_the_8_bits() -> None:
    image = torch.full((1, 1, 40, 30), 0.5)
    assert torch.equal(resize(image, (20, 15), "lanczos"), torch.full((1, 1, 20, 15), 128 / 255))


class Shrinking(torch.nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return resize(image, (20, 15), "lanczos")


@pytest.mark.parametrize("export", [torch.jit.trace, torch.export.export])
def test_pillow_is_in_no_exported_network(export: Any) -> None:
    """A graph would hold the one image that it was traced with."""
    said = refusal(lambda: export(Shrinking(), (torch.rand(1, 1, 40, 30),)))
    assert "scripts/export_onnx.py" in said


@pytest.mark.parametrize("resampling", ["bilinear", "lanczos"])
def test_batches_and_channels_are_resized_one_by_one(resampling: str) -> None:
    images = torch.rand(2, 3, 30, 21)
    found = resize(images, (13, 17), resampling)
    torch.testing.assert_close(found[1, 2], resize(images[1:, 2:], (13, 17), resampling)[0, 0])


def test_bilinear_shrinking_averages_what_it_leaves_out() -> None:
    """Every second pixel alone would show stripes of one pixel as black or white."""
    stripes = torch.tensor([0.0, 1.0]).repeat(32).expand(64, -1)
    shrunk = resize(stripes[None, None], (16, 16), "bilinear")
    torch.testing.assert_close(shrunk[..., 1:-1], torch.full((1, 1, 16, 14), 0.5), atol=0.02, rtol=0)


@pytest.mark.parametrize("resampling", ["bilinear", "lanczos"])
def test_an_image_of_the_right_size_is_left_alone(resampling: str) -> None:
    image = torch.rand(1, 1, 20, 30)
    assert torch.equal(resize(image, (20, 30), resampling), image)


@pytest.mark.parametrize(
    ("size", "side", "short", "long"),
    [
        ((2400, 1935), 224, (277, 224), (224, 181)),
        ((1935, 2400), 224, (224, 277), (181, 224)),
        ((120, 97), 64, (79, 64), (64, 52)),
        ((500, 500), 64, (64, 64), (64, 64)),
        ((3, 4000), 64, (64, 85333), (1, 64)),
    ],
)
def test_working_size(size: tuple[int, int], side: int, short: tuple[int, int], long: tuple[int, int]) -> None:
    assert working_size(size, side, "short") == short == short_side_size(*size, side)
    assert working_size(size, side, "long") == long
