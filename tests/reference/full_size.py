"""The same steps with torch's own operations in the paper's order, at the paper's sizes: what the method costs as it
stands.

The other files of this folder go cell by cell; at 1935 x 2400 pixels that would take days. Here each step is one plain
operation, but nothing is rearranged, shared or left out: all blocks of the transformer run, attention is a matrix,
6528 channels are upsampled before they are convolved, the global features are upsampled to the whole image, crops go
through one after the other, and every landmark and candidate is matched by a pass of its own.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.reference.channels import public_weight
from tests.reference.matching import cell_of, place_of
from tests.reference.working_image import short_side_size, working_image

Point = tuple[int, int]


@dataclass(frozen=True)
class LiteralTransformer:
    """The encoder as it stands: all blocks, attention as a matrix, and the key facet overheard at one block.

    Attributes:
        model: a vision transformer of timm with a class token and all its blocks.
        stride: pixels from one patch to the next.
        block: block whose keys are read, counted from 0.
    """

    model: Any
    stride: int = 4
    block: int = 8

    @torch.no_grad()
    def __call__(self, grey: Tensor) -> Tensor:
        """Keys: (B, 1, H, W) -> (B, C, h, w)."""
        model = self.model
        mean, std = (torch.tensor(model.pretrained_cfg[key]).reshape(1, 3, 1, 1).to(grey) for key in ("mean", "std"))
        rgb = (grey.expand(-1, 3, -1, -1) - mean) / std
        projection = model.patch_embed.proj
        patches = F.conv2d(rgb, projection.weight, projection.bias, stride=self.stride)
        rows, columns = patches.shape[-2:]
        x = patches.flatten(2).transpose(1, 2)
        prefix = (model.cls_token + model.pos_embed[:, :1]).expand(len(x), -1, -1)
        x = torch.cat([prefix, x + self._positions(rows, columns)], dim=1)
        heard: list[Tensor] = []
        hook = model.blocks[self.block].attn.qkv.register_forward_hook(lambda _module, _inputs, qkv: heard.append(qkv))
        for block in model.blocks:
            block.attn.fused_attn = False
            x = block(x)
        hook.remove()
        keys = heard[0].chunk(3, dim=-1)[1][:, 1:]
        by_head = keys.unflatten(-1, (model.blocks[self.block].attn.num_heads, -1))
        return by_head.permute(0, 3, 2, 1).reshape(len(x), -1, rows, columns)

    def _positions(self, rows: int, columns: int) -> Tensor:
        own = self.model.pos_embed[:, 1:]
        side = round(own.shape[1] ** 0.5)
        if (rows, columns) == (side, side):
            return own
        square = own.reshape(1, side, side, -1).permute(0, 3, 1, 2)
        factors = ((rows + 0.1) / side, (columns + 0.1) / side)
        square = F.interpolate(square, scale_factor=factors, mode="bicubic", recompute_scale_factor=False)
        return square.permute(0, 2, 3, 1).reshape(1, rows * columns, -1)


def with_public_weights(decoder: Any, heads: int) -> Any:
    """A copy of a decoder of this project whose first weight is in the public code's order."""
    decoder = copy.deepcopy(decoder)
    layer, dim = (decoder.up[0], 0) if hasattr(decoder, "up") else (decoder.conv, 1)
    layer.weight.data = public_weight(layer.weight.data, dim, decoder.binning.bins, heads)
    return decoder


def any_size(size: tuple[int, int]) -> tuple[int, int]:
    """A transformer takes an image of any size."""
    return size


@dataclass(frozen=True)
class FullSize:
    """Weights and sizes.

    The convolutions' weights are those of the public code, whose channels are counted as :mod:`.channels` says.

    Attributes:
        encode: the frozen encoder, (B, 1, H, W) -> (B, C, h, w).
        global_conv: 3x3 convolution of the global decoder.
        up: deconvolution, BatchNorm, ReLU, deconvolution, ReLU of the local decoder.
        local_conv: its 5x5 convolution.
        fit: the size, (height, width), that the encoder takes for one that is asked for.
        short_side: short side in pixels of the image that is looked at as a whole.
        window: side in pixels of a crop.
    """

    encode: Callable[[Tensor], Tensor]
    global_conv: nn.Conv2d
    up: nn.Sequential
    local_conv: nn.Conv2d
    fit: Callable[[tuple[int, int]], tuple[int, int]] = any_size
    short_side: int = 224
    window: int = 224

    @torch.no_grad()
    def binned(self, grey: Tensor) -> Tensor:
        """Frozen features with their surroundings: (B, 1, H, W) -> (B, 17 C, h, w)."""
        features = self.encode(grey)
        rows, columns = features.shape[-2:]
        averages = F.avg_pool2d(features, 3, stride=1, padding=1, count_include_pad=False)
        bins = []
        for source, step in ((features, 1), (averages, 3)):
            for dy in (-step, 0, step):
                for dx in (-step, 0, step):
                    if step == 1 or dy or dx:
                        row = (torch.arange(rows) + dy).clamp(0, rows - 1).to(grey.device)
                        column = (torch.arange(columns) + dx).clamp(0, columns - 1).to(grey.device)
                        bins.append(source[:, :, row][..., column])
        return torch.cat(bins, dim=1)

    def decoded_global(self, binned: Tensor, size: tuple[int, int]) -> Tensor:
        """D_G: upsampled first, then convolved."""
        return self.global_conv(F.interpolate(binned, size=size, mode="bilinear", align_corners=False))

    def decoded_local(self, binned: Tensor, size: tuple[int, int]) -> Tensor:
        """D_L."""
        return self.local_conv(F.interpolate(self.up(binned), size=size, mode="bilinear", align_corners=False))

    def working_image(self, image: Tensor) -> Tensor:
        """(H, W) -> (1, 1, h, w), the short side as the encoder sees it, resized by Pillow."""
        size = self.fit(short_side_size(*image.shape, self.short_side))
        return torch.from_numpy(working_image(image.cpu().numpy(), size)).to(image)[None, None]

    @torch.no_grad()
    def whole(self, image: Tensor) -> Tensor:
        """F^G of an image of (H, W): (C, h, w)."""
        working = self.working_image(image)
        return self.decoded_global(self.binned(working), (working.shape[-2], working.shape[-1]))[0]

    @torch.no_grad()
    def region(self, image: Tensor, upsampled: Tensor, x: int, y: int) -> tuple[Tensor, int, int]:
        """F_i^F of the crop around a pixel, and the crop's left and top."""
        height, width = image.shape
        top, left, half = max(0, y - self.window // 2), max(0, x - self.window // 2), self.window // 2
        crop = image[top : min(height, y + half), left : min(width, x + half)]
        local = self.decoded_local(self.binned(crop[None, None]), (crop.shape[0], crop.shape[1]))[0]
        context = upsampled[:, top : top + crop.shape[0], left : left + crop.shape[1]]
        return F.normalize(local, dim=0) + F.normalize(context, dim=0), left, top


def upsampled(features: Tensor, size: tuple[int, int]) -> Tensor:
    """The global features at every pixel of the image: (C, h, w) -> (C, H, W)."""
    return F.interpolate(features[None], size=size, mode="bilinear", align_corners=False)[0]


def match(
    template: Tensor,
    query: Tensor,
    landmark: Point,
    k: int,
    template_size: tuple[int, int] | None,
    query_size: tuple[int, int] | None,
) -> Point:
    """Equation 2 for one landmark, as in :func:`tests.reference.matching.bidirectional_match`: the pixel found."""
    column, row = cell_of(landmark, template, template_size)
    similarity = F.cosine_similarity(query, template[:, row, column][:, None, None], dim=0)
    best, found = float("inf"), (0.0, 0.0)
    for index in similarity.flatten().topk(k).indices.tolist():
        row, column = divmod(index, query.shape[-1])
        back = F.cosine_similarity(template, query[:, row, column][:, None, None], dim=0)
        x, y = place_of(*divmod(int(back.argmax()), template.shape[-1]), template, template_size)
        distance = ((x - landmark[0]) ** 2 + (y - landmark[1]) ** 2) ** 0.5
        if distance < best:
            best, found = distance, place_of(row, column, query, query_size)
    return round(found[0]), round(found[1])


class KnownTemplate(NamedTuple):
    """What :func:`describe_template` gives: global features, and for each landmark its region, left and top."""

    size: tuple[int, int]
    features: Tensor
    regions: list[tuple[Tensor, int, int]]


def describe_template(method: FullSize, image: Tensor, landmarks: list[Point]) -> KnownTemplate:
    """The template's side of the matching; ``image`` is (H, W), landmarks are whole pixels ``(x, y)``."""
    size = (image.shape[0], image.shape[1])
    features = method.whole(image)
    at_every_pixel = upsampled(features, size)
    return KnownTemplate(size, features, [method.region(image, at_every_pixel, x, y) for x, y in landmarks])


def find(method: FullSize, known: KnownTemplate, landmarks: list[Point], image: Tensor, k: int) -> list[Point]:
    """Coarse to fine: the landmarks' pixels ``(x, y)`` on an image of (H, W)."""
    size = (image.shape[0], image.shape[1])
    features = method.whole(image)
    coarse = [match(known.features, features, landmark, k, known.size, size) for landmark in landmarks]
    at_every_pixel = upsampled(features, size)
    points = []
    for (x, y), rough, (template, known_left, known_top) in zip(landmarks, coarse, known.regions):
        query, left, top = method.region(image, at_every_pixel, *rough)
        fine = match(template, query, (x - known_left, y - known_top), k, None, None)
        points.append((fine[0] + left, fine[1] + top))
    return points


def gaussian_loss(features: Tensor, cells: Tensor, sigma: float) -> Tensor:
    """Equation 1 for maps (B, C, h, w) and whole cells ``(x, y)``, (B, N, 2): one landmark after the other."""
    total = features.new_zeros(())
    rows, columns = (torch.arange(side).to(features) for side in features.shape[2:])
    for maps, landmarks in zip(features, cells.tolist()):
        for x, y in landmarks:
            similarity = F.cosine_similarity(maps, maps[:, int(y), int(x)][:, None, None], dim=0)
            squared = (rows[:, None] - y) ** 2 + (columns[None] - x) ** 2
            target = torch.exp(-squared / (2 * sigma**2))
            total = total + (similarity - target).square().mean()
    return total / cells.shape[1] / len(features)


def global_iteration(
    method: FullSize, working: Tensor, cells: Tensor, sigma: float, optimizer: torch.optim.Optimizer
) -> float:
    """One step of the global stage: images (B, 1, h, w) of the working size, cells ``(x, y)``, (B, N, 2)."""
    decoded = method.decoded_global(method.binned(working), (working.shape[-2], working.shape[-1]))
    return _descend(gaussian_loss(decoded, cells, sigma), optimizer)


def local_iteration(
    method: FullSize, crops: Tensor, cells: Tensor, sigma: float, optimizer: torch.optim.Optimizer
) -> float:
    """One step of the local stage: crops (B, N, 1, S, S) around N landmarks, whose cells ``(x, y)`` are (B, N, 2).

    One landmark after the other: the crops of a landmark alone go through the decoder together.
    """
    loss = crops.new_zeros(())
    for own, cell in zip(crops.unbind(dim=1), cells.unbind(dim=1)):
        decoded = method.decoded_local(method.binned(own), (own.shape[-2], own.shape[-1]))
        loss = loss + gaussian_loss(decoded, cell[:, None], sigma)
    return _descend(loss / crops.shape[1], optimizer)


def _descend(loss: Tensor, optimizer: torch.optim.Optimizer) -> float:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()
