from __future__ import annotations

import pytest
import torch
from torch import nn

from bundle.export import SteadyInstanceNorm, with_steady_norms


@pytest.mark.parametrize("shape", [(1, 1, 40, 33), (2, 3, 7, 5), (1, 1, 1, 9)])
def test_it_equals_the_plain_norm(shape: tuple[int, ...]) -> None:
    images = torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 3 + 5
    found = SteadyInstanceNorm(1e-5)(images)
    torch.testing.assert_close(found, nn.InstanceNorm2d(shape[1])(images), rtol=1e-10, atol=1e-12)


def test_an_image_of_one_value() -> None:
    assert torch.equal(SteadyInstanceNorm(1e-5)(torch.full((1, 1, 8, 8), 0.25)), torch.zeros(1, 1, 8, 8))


def test_only_norms_without_weights_and_statistics_are_replaced() -> None:
    plain, weighted, tracking = (
        nn.InstanceNorm2d(2),
        nn.InstanceNorm2d(2, affine=True),
        nn.InstanceNorm2d(2, track_running_stats=True),
    )
    module = nn.Sequential(nn.Sequential(plain), weighted, tracking).eval()
    changed = with_steady_norms(module)
    assert [type(layer) for layer in changed[0]] == [SteadyInstanceNorm]
    assert [type(layer) for layer in changed[1:]] == [nn.InstanceNorm2d] * 2
    assert module[0][0] is plain, "the original stays"
    images = torch.rand(2, 2, 6, 5, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(changed(images), module(images))
