"""The image that stands for most of those that none stands for yet."""

import numpy as np
import torch
from torch.nn import functional as F

from bundle.selection import coverage_gains


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
