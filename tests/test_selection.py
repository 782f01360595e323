"""The most typical of some shapes, and the image that stands for most of those that none stands for yet."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bundle.model import build_network
from bundle.networks import NetworkSettings
from bundle.selection import (
    _lattice,
    coverage_gains,
    deformation_of_each,
    describe_images,
    mean_deformation,
    whiten_together,
)


def texture(height: int = 40, width: int = 32) -> torch.Tensor:
    """A map that is different everywhere and smooth: (C, h, w)."""
    noise = torch.randn(48, height // 2, width // 2, generator=torch.Generator().manual_seed(0))
    return F.interpolate(noise[None], size=(height, width), mode="bicubic")[0]


def bent(one: torch.Tensor, amount: float, affine: torch.Tensor | None = None) -> torch.Tensor:
    """The map under an affine map and a wave of ``amount`` cells; of length one everywhere."""
    _, height, width = one.shape
    grid = F.affine_grid(
        torch.eye(2, 3)[None] if affine is None else affine[None], [1, 1, height, width], align_corners=False
    )
    grid = grid + amount * 2 / height * torch.sin(3 * torch.pi * grid.flip(-1))
    return F.normalize(F.grid_sample(one[None], grid, padding_mode="border", align_corners=False)[0], dim=0)


def test_an_affine_map_is_no_deformation_and_a_wave_is() -> None:
    plain = bent(texture(), 0)
    turned = bent(texture(), 0, torch.tensor([[1.04, 0.05, 0.02], [-0.05, 0.97, 0.03]]))
    waved = bent(texture(), 1.5)
    assert mean_deformation(plain, [plain]) < 0.004
    assert mean_deformation(plain, [turned]) < 0.01
    assert mean_deformation(plain, [waved]) > 0.015
    assert mean_deformation(plain, [plain, waved]) == pytest.approx(
        (mean_deformation(plain, [plain]) + mean_deformation(plain, [waved])) / 2
    )


def test_the_middle_of_a_family_is_the_most_typical() -> None:
    amounts = [-2.0, -1.0, 0.0, 1.0, 2.0]
    family = [bent(texture(), amount) for amount in amounts]
    value = [mean_deformation(one, [other for other in family if other is not one]) for one in family]
    assert amounts[int(np.argmin(value))] == 0.0
    assert list(deformation_of_each(family, compared=10)) == value


def test_each_is_compared_with_some_of_the_others_only() -> None:
    family = [bent(texture(20, 16), amount) for amount in (0.0, 1.0, 2.0, 3.0)]
    found = list(deformation_of_each(family, compared=1, seed=3))
    for one, value in zip(family, found):
        assert value in [mean_deformation(one, [other]) for other in family if other is not one]
    assert list(deformation_of_each(family, compared=1, seed=3)) == found


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (4, 4), (7, 30)])
def test_maps_of_any_size(size: tuple[int, int]) -> None:
    lattice = _lattice(*size)
    assert len(lattice) and (lattice >= 0).all()
    assert (lattice[:, 0] < size[1]).all() and (lattice[:, 1] < size[0]).all()
    one = F.normalize(torch.randn(8, *size), dim=0)
    other = F.normalize(torch.randn(8, 11, 6), dim=0)
    assert np.isfinite(mean_deformation(one, [other, one]))


def test_images_of_different_shapes_are_described() -> None:
    settings = NetworkSettings(working_sides=(64,), negative=False, whitening=False, local_channels=0)
    images = [torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(1)) for size in ((80, 60), (50, 90))]
    maps = whiten_together(list(describe_images(images, build_network(settings))))
    assert [one.shape[0] for one in maps] == [64, 64]
    assert maps[0].shape[1] > maps[0].shape[2] and maps[1].shape[1] < maps[1].shape[2]
    for one in maps:
        torch.testing.assert_close(one.norm(dim=0), torch.ones(one.shape[1:]))


def families() -> list[torch.Tensor]:
    """Maps of two families: five alike, and three alike."""
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(6, 24, 20, generator=generator) for _ in range(2))
    maps = [first] * 5 + [second] * 3
    return [F.normalize(one + 0.3 * torch.randn(one.shape, generator=generator), dim=0) for one in maps]


def test_the_first_image_is_of_the_larger_family_and_the_next_of_the_other() -> None:
    maps = families()
    assert int(coverage_gains(maps, []).argmax()) < 5
    assert int(coverage_gains(maps, [0]).argmax()) >= 5
    assert int(coverage_gains(maps, [6]).argmax()) < 5


def test_gains_are_those_of_the_equation() -> None:
    maps = families()
    rows = np.stack([F.adaptive_avg_pool2d(one, 12).flatten().numpy() for one in maps])
    rows = rows - rows.mean(axis=0)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    expected = [
        np.mean([max(0.0, rows[i] @ rows[j] - max(rows[a] @ rows[j] for a in (1, 6))) for j in range(8)])
        for i in range(8)
    ]
    gains = coverage_gains(maps, [6, 1])
    np.testing.assert_allclose(gains, expected, atol=1e-5)
    assert float(gains[[1, 6]].max()) == 0, "an annotated image gains nothing"


def test_images_of_other_shapes_are_compared() -> None:
    wide = [F.normalize(torch.randn(6, 20, 24 + index), dim=0) for index in range(3)]
    assert coverage_gains(wide, [1]).shape == (3,)
