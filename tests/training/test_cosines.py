import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bundle.training.losses import cosines


def make(dtype: torch.dtype = torch.float64, last: bool = False) -> tuple[Tensor, Tensor]:
    """Maps, and cells of which two are the same one."""
    features = torch.randn(2, 5, 4, 6, dtype=dtype, generator=torch.Generator().manual_seed(0))
    own = torch.tensor([[0, 23, 7], [11, 11, 3]])
    return features.contiguous(memory_format=torch.channels_last) if last else features, own


def plain(features: Tensor, own: Tensor) -> Tensor:
    """The same by the library: lengths of one first, products then."""
    units = F.normalize(features.flatten(2), dim=1)
    return torch.bmm(units.gather(2, own[:, None].expand(-1, features.shape[1], -1)).transpose(1, 2), units)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_equal_normalising_the_map_first(dtype: torch.dtype, last: bool) -> None:
    features, own = make(dtype, last)
    features.requires_grad_()
    found, expected = cosines(features, own), plain(features, own)
    torch.testing.assert_close(found, expected)
    pull = torch.randn_like(expected)
    (of_found,) = torch.autograd.grad(found, features, pull)
    torch.testing.assert_close(of_found, torch.autograd.grad(expected, features, pull)[0])
    assert of_found.stride() == features.stride()


def test_gradient_is_that_of_finite_differences() -> None:
    features, own = make()
    assert torch.autograd.gradcheck(lambda values: cosines(values, own), features.requires_grad_())


def test_part_of_a_larger_map() -> None:
    """Decoded maps may have gaps in memory."""
    whole = torch.randn(2, 8, 9, 5, dtype=torch.float64).requires_grad_()
    own = torch.tensor([[3], [20]])
    part = whole[:, :7, :6].permute(0, 3, 1, 2)
    (found,) = torch.autograd.grad(cosines(part, own).square().sum(), whole)
    (expected,) = torch.autograd.grad(plain(part, own).square().sum(), whole)
    torch.testing.assert_close(found, expected)


def test_cells_without_a_length() -> None:
    """A vector of zeros resembles nothing, and pulls and is pulled without numbers that are none."""
    features, own = make()
    features[0, :, 0, 0] = 0.0
    features[1, :, 3, 2] = 0.0
    features.requires_grad_()
    found = cosines(features, own)
    assert torch.count_nonzero(found[0, 0]) == 0
    assert torch.count_nonzero(found[1, :, 20]) == 0
    found.sum().backward()
    assert features.grad is not None and torch.isfinite(features.grad).all()
