"""Scores on a lattice are those of correlating the whole map and reading it bicubically."""

import pytest
import torch
from torch.nn import functional as F

from bundle.matching.lattice import Lattice, crop_window, lattice_pixels, level_window

SIZE = (200, 160)


def by_torch(level: torch.Tensor, kernels: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    """Correlate the whole map, then read it with torch's bicubic sampling."""
    reach = kernels.shape[-1] // 2
    maps = F.conv2d(F.pad(level[None], (reach,) * 4, mode="replicate"), kernels).transpose(0, 1)
    scale = torch.tensor([2 / SIZE[1], 2 / SIZE[0]], dtype=level.dtype)
    grid = (pixels.to(level.dtype) + 0.5) * scale - 1
    return F.grid_sample(maps, grid, mode="bicubic", padding_mode="border", align_corners=False)[:, 0]


@pytest.mark.parametrize("patch", [1, 3])
def test_a_window_gives_what_the_whole_map_gives(patch: int) -> None:
    generator = torch.Generator().manual_seed(0)
    level = torch.randn(4, 25, 20, generator=generator, dtype=torch.float64)
    kernels = torch.randn(2, 4, patch, patch, generator=generator, dtype=torch.float64)
    origins = torch.tensor([[52.3, 71.0], [80.0, 90.6]], dtype=torch.float64)
    step = torch.tensor([3.0, 3.2], dtype=torch.float64)
    window = level_window(level, SIZE, origins, step, 9, patch)
    expected = by_torch(level, kernels, lattice_pixels(origins, step, 9))
    torch.testing.assert_close(window.scores(kernels), expected, rtol=1e-9, atol=1e-9)
    several = window.scores(torch.stack([kernels, 2 * kernels, -kernels]))
    torch.testing.assert_close(several, torch.stack([expected, 2 * expected, -expected]), rtol=1e-9, atol=1e-9)


def test_at_the_border_the_map_goes_on_as_it_ends() -> None:
    """A constant map stays constant everywhere, also on a lattice that lies outside for the most part."""
    window = level_window(
        torch.full((3, 25, 20), 2.0), SIZE, torch.tensor([[-60.0, 170.0]]), torch.tensor([4.0, 4.0]), 16, 3
    )
    kernel = torch.rand(1, 3, 3, 3)
    torch.testing.assert_close(window.scores(kernel), torch.full((1, 16, 16), 2 * float(kernel.sum())))


def test_a_crop_is_read_as_torch_resizes() -> None:
    maps, kernels = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 3, 3)
    found = crop_window(maps, 10, 3).scores(kernels)
    padded = F.pad(maps, (1, 1, 1, 1), mode="replicate")
    each = torch.stack([F.conv2d(padded[i : i + 1], kernels[i : i + 1])[0, 0] for i in range(2)])
    expected = F.interpolate(each[None], size=(10, 10), mode="bicubic", align_corners=False)[0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_the_logarithm_of_a_gaussian() -> None:
    lattice = Lattice(torch.tensor([[10.0, 20.0]]), torch.tensor([2.0, 3.0]), 4, [])
    mean, covariance = torch.tensor([[13.0, 24.0]]), torch.tensor([[[4.0, 1.0], [1.0, 9.0]]])
    gaussian = torch.distributions.MultivariateNormal(mean[0], covariance[0])
    expected = gaussian.log_prob(lattice.pixels[0]) - gaussian.log_prob(mean[0])
    torch.testing.assert_close(lattice.log_gaussian(mean, covariance)[0], expected, rtol=1e-4, atol=1e-4)
