import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bundle.matching.paper_matcher import fuse
from tests.reference.fusion import fused_features, upsampled_to_image


def random_map(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def whole() -> tuple[Tensor, Tensor]:
    """A global map and the same upsampled to a whole image of 60 x 49 pixels."""
    global_map = random_map(1, 4, 19, 16)
    return global_map, upsampled_to_image(global_map, 60, 49)


#: Left, top, width and height of crops: inside, at each border and corner, and the whole image.
CROPS = [(10, 20, 16, 16), (0, 20, 9, 16), (40, 20, 9, 16), (10, 0, 16, 9), (10, 51, 16, 9), (0, 0, 8, 8)]
CROPS += [(41, 52, 8, 8), (0, 0, 49, 60)]


@pytest.mark.parametrize(("left", "top", "width", "height"), CROPS)
def test_equals_upsampling_the_whole_map_and_cropping(
    whole: tuple[Tensor, Tensor], left: int, top: int, width: int, height: int
) -> None:
    global_map, upsampled = whole
    local = random_map(2, 4, height, width)
    found = fuse(local[None], global_map, torch.tensor([[left, top]], dtype=torch.float64), (60, 49))
    torch.testing.assert_close(found[0], fused_features(local, upsampled, left, top))


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 3), (60, 49)])
def test_crops_of_one_size_together_on_maps_of_any_size(rows: int, columns: int) -> None:
    global_map, local = random_map(1, 4, rows, columns), random_map(2, 3, 4, 16, 9)
    upsampled = F.interpolate(global_map[None], size=(60, 49), mode="bilinear", align_corners=False)[0]
    corners = [(0, 0), (40, 44), (17, 23)]
    found = fuse(local, global_map, torch.tensor(corners, dtype=torch.float64), (60, 49))
    for crop, own, corner in zip(found, local, corners):
        torch.testing.assert_close(crop, fused_features(own, upsampled, *corner))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_torchs_upsampling_at_the_size_of_a_radiograph(dtype: torch.dtype) -> None:
    """Two channels of 2400 x 1935 pixels: coordinates this large cost single precision no more than 1e-4."""
    global_map = random_map(3, 2, 277, 224)
    left, top = 1711, 2176
    local = random_map(4, 2, 224, 224)
    upsampled = F.interpolate(global_map[None], size=(2400, 1935), mode="bilinear", align_corners=False)[0]
    expected = F.normalize(local, dim=0) + F.normalize(upsampled[:, top : top + 224, left : left + 224], dim=0)
    origins = torch.tensor([[left, top]], dtype=dtype)
    (found,) = fuse(local.to(dtype)[None], global_map.to(dtype), origins, (2400, 1935))
    tolerance = 1e-4 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=tolerance)
