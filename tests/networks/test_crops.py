import numpy as np
import pytest
import torch

from bundle.geometry import PixelCentres, sample_map
from bundle.networks.crops import clipped_windows, inner_windows, local_crops, padded_windows
from bundle.networks.network import NetworkSettings, working_size
from tests.reference.fusion import clipped_crop

IMAGE = torch.arange(120 * 97, dtype=torch.float32).reshape(1, 120, 97)  # every pixel has its own value

#: Inside, clipped at each side and at each corner.
CENTRES = [(48, 60), (3, 60), (95, 60), (48, 3), (48, 118), (0, 0), (96, 0), (0, 119), (96, 119), (32, 32), (65, 88)]


@pytest.mark.parametrize("centre", CENTRES)
@pytest.mark.parametrize("side", [64, 32, 400])
def test_clipped_window_equals_the_literal_crop(centre: tuple[int, int], side: int) -> None:
    (found,) = clipped_windows(IMAGE, torch.tensor([centre], dtype=torch.float32), side)
    expected, left, top = clipped_crop(IMAGE[0], *centre, side)
    assert found.origins.tolist() == [[left, top]]
    assert torch.equal(found.crops[0, 0], expected)


def test_clipped_window_cuts_off_fractions() -> None:
    (found,) = clipped_windows(IMAGE, torch.tensor([[48.9, 60.9]]), 64)
    assert found.origins.tolist() == [[16, 28]]
    assert found.crops.shape == (1, 1, 64, 64)


def test_clipped_window_of_odd_side_has_the_point_in_its_middle() -> None:
    (found,) = clipped_windows(IMAGE, torch.tensor([[48.0, 60.0]]), 33)
    assert found.crops.shape == (1, 1, 33, 33)
    assert found.crops[0, 0, 16, 16] == IMAGE[0, 60, 48]


@pytest.mark.parametrize("side", [64, 33, 1, 400])
def test_padded_windows_repeat_the_border(side: int) -> None:
    found = padded_windows(IMAGE, torch.tensor(CENTRES, dtype=torch.float32), side)
    assert found.crops.shape == (len(CENTRES), 1, side, side)
    for crop, origin, (x, y) in zip(found.crops, found.origins.tolist(), CENTRES):
        assert origin == [x - side // 2, y - side // 2]
        rows = np.clip(np.arange(side) + y - side // 2, 0, 119)
        columns = np.clip(np.arange(side) + x - side // 2, 0, 96)
        assert torch.equal(crop[0], IMAGE[0][rows][:, columns])
        assert crop[0, side // 2, side // 2] == IMAGE[0, y, x]


@pytest.mark.parametrize("side", [64, 33, 1])
def test_inner_windows_are_moved_inside_the_image(side: int) -> None:
    found = inner_windows(IMAGE, torch.tensor(CENTRES, dtype=torch.float32), side)
    for crop, origin, (x, y) in zip(found.crops, found.origins.tolist(), CENTRES):
        left, top = min(max(x - side // 2, 0), 97 - side), min(max(y - side // 2, 0), 120 - side)
        assert origin == [left, top]
        assert torch.equal(crop[0], IMAGE[0, top : top + side, left : left + side])


def test_inner_windows_of_an_image_that_is_smaller_show_all_of_it() -> None:
    found = inner_windows(IMAGE, torch.tensor(CENTRES, dtype=torch.float32), 130)
    assert found.crops.shape == (len(CENTRES), 1, 130, 130)
    for crop in found.crops:
        assert set(IMAGE.unique().tolist()) == set(crop.unique().tolist())


def test_padded_windows_bring_centres_off_the_image_back() -> None:
    found = padded_windows(IMAGE, torch.tensor([[-30.0, 500.0], [96.4, -0.4], [2.6, 3.4]]), 8)
    assert (found.origins + 4).tolist() == [[0, 119], [96, 0], [3, 3]]


@pytest.mark.parametrize("local_side", [0, 60, 119, 240])
def test_points_of_local_crops_lie_where_they_lie_on_the_image(local_side: int) -> None:
    """A crop of a ramp tells where each of its pixels was taken from."""
    ys, xs = torch.meshgrid(torch.arange(120.0), torch.arange(97.0), indexing="ij")
    settings = NetworkSettings(local_side=local_side, local_window=32)
    centres = torch.tensor([[48.3, 60.7], [40.0, 50.0]])
    crops = [local_crops(ramp[None, None], centres, settings) for ramp in (xs, ys)]
    points = centres + torch.tensor([3.0, -5.0])
    for crop, axis in zip(crops, (0, 1)):
        assert crop.images.shape == (2, 1, 32, 32)
        cells = (points - crop.origins) / crop.step
        found = torch.stack([sample_map(image, cell) for image, cell in zip(crop.images, cells)])[:, 0]
        torch.testing.assert_close(found, points[:, axis], atol=0.15, rtol=0)


@pytest.mark.parametrize("side", [32, 16, 8])
def test_the_lattice_of_a_coarser_map_covers_the_crop(side: int) -> None:
    """Its cells lie where the crop's pixels that they average lie on the image."""
    settings = NetworkSettings(local_side=60, local_window=32)
    crops = local_crops(torch.rand(1, 1, 120, 97), torch.tensor([[48.0, 60.0], [3.0, 4.0]]), settings)
    origins, step = crops.lattice(side)
    pixels = torch.arange(32.0).reshape(side, -1).mean(dim=1)  # of a crop, at the middle of each cell
    expected = crops.origins[:, None] + pixels[:, None] * crops.step
    torch.testing.assert_close(origins[:, None] + torch.arange(side)[:, None] * step, expected)


@pytest.mark.parametrize("side", [160, 40])
def test_samples_of_local_maps_have_length_one(side: int) -> None:
    crops = local_crops(torch.rand(1, 1, 120, 97), torch.tensor([[20.0, 30.0], [96.0, 119.0]]), NetworkSettings())
    maps = torch.randn(2, 5, side, side)
    points = torch.tensor([[22.0, 33.0], [96.0, 119.0]])
    found = crops.sample(maps, points)
    origins, step = crops.lattice(side)
    for index in range(2):
        expected = sample_map(maps[index], ((points - origins) / step)[index])
        torch.testing.assert_close(found[index], expected / expected.norm(), atol=1e-4, rtol=0)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(2))


def test_the_origin_of_a_shrunk_crop_is_the_centre_of_its_first_pixel() -> None:
    settings = NetworkSettings(local_side=60, local_window=32)
    crops = local_crops(torch.rand(1, 1, 120, 100), torch.tensor([[50.0, 60.0]]), settings)
    size = working_size((120, 100), settings.local_side, "long")
    middle = PixelCentres().to_cells(torch.tensor([[50.0, 60.0]]), (120, 100), size).round()
    assert crops.step.tolist() == [2.0, 2.0]
    torch.testing.assert_close(crops.origins, (middle - 16 + 0.5) * 2 - 0.5)
