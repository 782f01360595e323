import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bundle.geometry import PixelCentres, sample_map
from bundle.matching.descriptors import AT_A_TIME, DescriptorPyramid, normalise_channels


def unit_map(seed: int, *shape: int) -> Tensor:
    return normalise_channels(torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)))


def clamped(features: Tensor, row: int, column: int) -> Tensor:
    _, rows, columns = features.shape
    return features[:, min(max(row, 0), rows - 1), min(max(column, 0), columns - 1)]


@pytest.mark.parametrize("patch", [1, 3, 5])
@pytest.mark.parametrize("size", [(6, 7), (1, 4)])
def test_similarity_equals_the_loops(size: tuple[int, int], patch: int) -> None:
    """The mean over the patch of the cosines of corresponding places; beyond the map its border is repeated."""
    level = unit_map(1, 5, *size)
    kernels = normalise_channels(torch.randn(3, 5, patch, patch, dtype=torch.float64))
    pyramid = DescriptorPyramid([level], (60, 70), size, PixelCentres(), patch)
    found = pyramid.similarity([kernels])
    reach = patch // 2
    for index, kernel in enumerate(kernels):
        for row in range(size[0]):
            for column in range(size[1]):
                cosines = [
                    float(kernel[:, reach + dy, reach + dx] @ clamped(level, row + dy, column + dx))
                    for dy in range(-reach, reach + 1)
                    for dx in range(-reach, reach + 1)
                ]
                assert math.isclose(float(found[index, row, column]), sum(cosines) / patch**2, abs_tol=1e-12)


@pytest.mark.parametrize("patch", [1, 3])
def test_describe_reads_each_level_around_the_point(patch: int) -> None:
    levels = [unit_map(1, 4, 6, 7), unit_map(2, 3, 12, 15)]
    pyramid = DescriptorPyramid(levels, (60, 75), (24, 30), PixelCentres(), patch)
    points = torch.tensor([[0.0, 0.0], [74.0, 59.0], [33.3, 20.8]], dtype=torch.float64)
    reach = patch // 2
    for level, kernels in zip(levels, pyramid.describe(points)):
        assert kernels.shape == (3, len(level), patch, patch)
        cells = PixelCentres().to_cells(points, (60, 75), (level.shape[1], level.shape[2]))
        for kernel, cell in zip(kernels, cells):
            for dy in range(-reach, reach + 1):
                for dx in range(-reach, reach + 1):
                    expected = sample_map(level, cell + torch.tensor([dx, dy]))
                    torch.testing.assert_close(kernel[:, reach + dy, reach + dx], expected)


@pytest.mark.parametrize("patch", [1, 3])
def test_matching_at_each_scale_equals_matching_resized_descriptors(patch: int) -> None:
    """Resizing is linear: the similarity may be resized instead of the descriptors of every place of the patch."""
    levels = [unit_map(1, 4, 6, 7), unit_map(2, 3, 12, 15)]
    grid = (20, 25)
    pyramid = DescriptorPyramid(levels, (60, 75), grid, PixelCentres(), patch)
    points = torch.rand(AT_A_TIME + 1, 2, dtype=torch.float64) * torch.tensor([75.0, 60.0])
    kernels = pyramid.describe(points)
    reach = patch // 2
    expected = torch.zeros(len(points), *grid, dtype=torch.float64)
    for level, kernel in zip(levels, kernels):
        padded = F.pad(level[None], (reach,) * 4, mode="replicate")[0]
        for dy in range(patch):
            for dx in range(patch):
                shifted = padded[None, :, dy : dy + level.shape[1], dx : dx + level.shape[2]]
                resized = F.interpolate(shifted, size=grid, mode="bicubic", align_corners=False)[0]
                expected += torch.einsum("nc,chw->nhw", kernel[:, :, dy, dx], resized) / patch**2
    torch.testing.assert_close(pyramid.similarity(kernels), expected / len(levels))


def test_an_image_is_most_similar_to_its_own_places() -> None:
    level = unit_map(4, 8, 10, 12)
    pyramid = DescriptorPyramid([level], (10, 12), (10, 12), PixelCentres(), 3)
    points = torch.tensor([[3.0, 4.0], [0.0, 0.0], [11.0, 9.0]], dtype=torch.float64)
    similarity = pyramid.similarity(pyramid.describe(points))
    for index, (x, y) in enumerate(points.long().tolist()):
        assert similarity[index].argmax() == y * 12 + x
        assert math.isclose(float(similarity[index, y, x]), 1.0, abs_tol=1e-12)


def test_describing_cells_equals_describing_their_pixels_where_nothing_is_rounded() -> None:
    pyramid = DescriptorPyramid([unit_map(1, 4, 6, 7), unit_map(2, 3, 12, 15)], (60, 75), (24, 30), PixelCentres(), 3)
    cells = torch.tensor([[0.0, 0.0], [29.0, 23.0], [10.0, 7.0]], dtype=torch.float64)
    for found, expected in zip(pyramid.describe_cells(cells), pyramid.describe(pyramid.to_pixels(cells))):
        torch.testing.assert_close(found, expected)


def test_normalised_channels_have_length_one_and_zero_stays_zero() -> None:
    features = torch.randn(2, 5, 3, 4)
    features[1, :, 2, 2] = 0
    lengths = normalise_channels(features).norm(dim=1)
    expected = torch.ones(2, 3, 4)
    expected[1, 2, 2] = 0
    torch.testing.assert_close(lengths, expected)
