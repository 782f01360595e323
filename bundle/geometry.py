"""Where the cells of a feature map lie on the image."""

import torch
from torch import Tensor
from torch.nn import functional as F

Size = tuple[int, int]  # (height, width)


def _ratio(image_size: Size, map_size: Size, like: Tensor) -> Tensor:
    height, width = image_size
    rows, columns = map_size
    return torch.tensor([columns / width, rows / height], dtype=like.dtype, device=like.device)


class PixelCentres:
    """Sub-pixel rule: image and map cover the same rectangle, and centres of pixels and cells are at integers.

    A pixel ``x`` lies at the cell coordinate ``(x + 0.5) * columns / width - 0.5``: what ``align_corners=False`` means
    in torch. Nothing is rounded, so the map may be sampled between cells.
    """

    def to_cells(self, points: Tensor, image_size: Size, map_size: Size) -> Tensor:
        """Pixels ``(x, y)`` of the image to cell coordinates ``(x, y)`` of the map; any leading shape."""
        return (points + 0.5) * _ratio(image_size, map_size, points) - 0.5

    def to_pixels(self, cells: Tensor, image_size: Size, map_size: Size) -> Tensor:
        """Cell coordinates ``(x, y)`` of the map to places ``(x, y)`` on the image; any leading shape."""
        return (cells + 0.5) / _ratio(image_size, map_size, cells) - 0.5

    def to_result(self, pixels: Tensor, image_size: Size) -> Tensor:
        """Places on the image as a result has them: as they are."""
        return pixels


class PaperRounding:
    """Integer rule of the paper's public code: cells are cut off, pixels are rounded.

    A landmark lies in the cell ``int(x / width * columns)``, and a cell stands for the place
    ``cell / columns * width``, its upper left corner. Only a result is rounded to a whole pixel, half to even.
    """

    def to_cells(self, points: Tensor, image_size: Size, map_size: Size) -> Tensor:
        """Pixels ``(x, y)`` of the image to whole cells ``(x, y)`` of the map; any leading shape."""
        height, width = image_size
        rows, columns = map_size
        # In double precision and in the paper's order of operations: a cut in float32 can fall on the other side.
        exact = points.double()
        cells = torch.stack([exact[..., 0] / width * columns, exact[..., 1] / height * rows], dim=-1)
        last = torch.tensor([columns - 1, rows - 1], dtype=cells.dtype, device=cells.device)
        return torch.minimum(cells.trunc().clamp(min=0), last).to(points.dtype)

    def to_pixels(self, cells: Tensor, image_size: Size, map_size: Size) -> Tensor:
        """Cells ``(x, y)`` of the map to places ``(x, y)`` on the image, not rounded; any leading shape."""
        height, width = image_size
        rows, columns = map_size
        exact = cells.double()
        pixels = torch.stack([exact[..., 0] / columns * width, exact[..., 1] / rows * height], dim=-1)
        return pixels.to(cells.dtype)

    def to_result(self, pixels: Tensor, image_size: Size) -> Tensor:
        """Places on the image as a result has them: the nearest whole pixel."""
        height, width = image_size
        last = torch.tensor([width - 1, height - 1], dtype=pixels.dtype, device=pixels.device)
        return torch.minimum(pixels.round(), last)


#: The rule by which points on an image and cells of its feature map correspond.
CellGeometry = PixelCentres | PaperRounding


def bilinear_matrix(positions: Tensor, cells: int) -> Tensor:
    """Bilinear sampling along one axis as a matrix: a lattice of points is read by one such product per axis.

    Args:
        positions: (..., P), cell coordinates along the axis.
        cells: how many cells the axis has; outside them the border's value holds.

    Returns:
        tensor of shape (..., P, cells), of the type of ``positions``; at most two entries of a row are not zero, its
        sum is one.
    """
    inside = positions.clamp(0, cells - 1)
    distance = inside[..., None] - torch.arange(cells, dtype=positions.dtype, device=positions.device)
    return (1.0 - distance.abs()).clamp(min=0.0)


def cubic_matrix(positions: Tensor, cells: int) -> Tensor:
    """Bicubic sampling along one axis as a matrix, with the weights of ``torch.nn.functional.interpolate``.

    Args:
        positions: (..., P), cell coordinates along the axis.
        cells: how many cells the axis has; outside them the border's value holds, half a cell beyond at most.

    Returns:
        tensor of shape (..., P, cells), of the type of ``positions``; the sum of a row is one.
    """
    sharpness = -0.75
    index = torch.arange(-2, cells + 2, dtype=positions.dtype, device=positions.device)
    t = (positions.clamp(-0.5, cells - 0.5)[..., None] - index).abs()
    near = ((sharpness + 2) * t - (sharpness + 3)) * t * t + 1
    far = ((sharpness * t - 5 * sharpness) * t + 8 * sharpness) * t - 4 * sharpness
    weights = torch.where(t <= 1, near, torch.where(t < 2, far, torch.zeros_like(t)))
    matrix = weights[..., 2:-2].clone()
    matrix[..., 0] += weights[..., :2].sum(dim=-1)
    matrix[..., -1] += weights[..., -2:].sum(dim=-1)
    return matrix


def resizing_matrix(cells: int, like: Tensor, places: int) -> Tensor:
    """Bicubic resizing along one axis as a matrix: (places, cells), of the type of another tensor."""
    centres = torch.arange(places, dtype=like.dtype, device=like.device) + 0.5
    return cubic_matrix(centres * (cells / places) - 0.5, cells)


def cell_grid(map_size: Size, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Tensor:
    """Cell coordinates of a whole map.

    Returns:
        tensor of shape (h * w, 2), ``(x, y)``, row by row.
    """
    rows, columns = map_size
    ys, xs = torch.meshgrid(
        torch.arange(rows, dtype=dtype, device=device), torch.arange(columns, dtype=dtype, device=device), indexing="ij"
    )
    return torch.stack([xs, ys], dim=-1).reshape(-1, 2)


def sample_map(features: Tensor, cells: Tensor) -> Tensor:
    """Sample a feature map between its cells, bilinearly; outside the map the border's value holds.

    Where all places are whole cells nothing is interpolated: the map's own values come back, to the last bit.

    Args:
        features: tensor of shape (C, h, w).
        cells: tensor of shape (..., 2), cell coordinates ``(x, y)``.

    Returns:
        tensor of shape (..., C).
    """
    _, rows, columns = features.shape
    if torch.equal(cells, cells.trunc()):
        x, y = cells.long().unbind(dim=-1)
        index = y.clamp(0, rows - 1) * columns + x.clamp(0, columns - 1)
        return features.flatten(1)[:, index.flatten()].T.reshape(*cells.shape[:-1], -1)
    sampled = sample_maps(features[None], cells.reshape(1, -1, 1, 2))
    return sampled[0, :, :, 0].T.reshape(*cells.shape[:-1], -1)


def sample_maps(maps: Tensor, cells: Tensor, mode: str = "bilinear") -> Tensor:
    """Sample each of several maps at places of its own; outside a map the border's value holds.

    Args:
        maps: (N, C, h, w).
        cells: (N, rows, columns, 2), cell coordinates ``(x, y)``.
        mode: ``"bilinear"`` or ``"bicubic"``.

    Returns:
        tensor of shape (N, C, rows, columns).
    """
    scale = torch.tensor([2.0 / maps.shape[-1], 2.0 / maps.shape[-2]], dtype=maps.dtype, device=maps.device)
    grid = (cells.to(maps.dtype) + 0.5) * scale - 1.0
    return F.grid_sample(maps, grid, mode=mode, padding_mode="border", align_corners=False)
