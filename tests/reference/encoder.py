"""Step 2: the frozen encoder (paper, section 3: DINO-S, "key" of the ninth layer, 8 x 8 patches at stride 4)."""

import math
from typing import Any

import torch
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
FACETS = ("query", "key", "value")


def normalised_rgb(
    grey: Tensor, mean: tuple[float, ...] = IMAGENET_MEAN, std: tuple[float, ...] = IMAGENET_STD
) -> Tensor:
    """A grey image, (H, W), as three equal channels of ImageNet's mean and spread: (3, H, W)."""
    return torch.stack([(grey - m) / s for m, s in zip(mean, std)])


def patch_tokens(rgb: Tensor, weight: Tensor, bias: Tensor, stride: int) -> tuple[Tensor, tuple[int, int]]:
    """One token for each patch, patches ``stride`` pixels apart: (h * w, C), and the grid (h, w)."""
    patch = weight.shape[-1]
    rows, columns = (1 + (side - patch) // stride for side in rgb.shape[1:])
    tokens = []
    for row in range(rows):
        for column in range(columns):
            pixels = rgb[:, row * stride : row * stride + patch, column * stride : column * stride + patch]
            tokens.append(weight.flatten(1) @ pixels.flatten() + bias)
    return torch.stack(tokens), (rows, columns)


def resized_position_embedding(embedding: Tensor, grid: tuple[int, int]) -> Tensor:
    """Bicubic resizing of (n * n, C) to the grid, by the factor ``(h + 0.1) / n`` as it stands: (h * w, C)."""
    side = math.isqrt(len(embedding))
    if grid == (side, side):
        return embedding
    square = embedding.reshape(side, side, -1)
    rows = [_bicubic_taps(row, (grid[0] + 0.1) / side, side) for row in range(grid[0])]
    columns = [_bicubic_taps(column, (grid[1] + 0.1) / side, side) for column in range(grid[1])]
    resized = []
    for row in rows:
        for column in columns:
            resized.append(sum(wy * wx * square[y, x] for y, wy in row for x, wx in column))
    return torch.stack(resized)


def _bicubic_taps(target: int, factor: float, size: int) -> list[tuple[int, float]]:
    """Four source positions, clamped to the border, with their weights (Keys' cubic, a = -0.75)."""
    source = (target + 0.5) / factor - 0.5
    first = math.floor(source)
    return [(min(max(first + tap, 0), size - 1), _keys(source - (first + tap))) for tap in (-1, 0, 1, 2)]


def _keys(distance: float, a: float = -0.75) -> float:
    x = abs(distance)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def vit_tokens(model: Any, rgb: Tensor, stride: int) -> tuple[Tensor, int, tuple[int, int]]:
    """What goes into the first block: (1, prefix + h * w, C), the number of prefix tokens, and the grid."""
    projection = model.patch_embed.proj
    bias = torch.zeros(projection.out_channels).to(rgb) if projection.bias is None else projection.bias
    tokens, grid = patch_tokens(rgb, projection.weight, bias, stride)
    prefix = [token[0, 0] for token in (model.cls_token,) if token is not None]
    if getattr(model, "reg_token", None) is not None:
        prefix += list(model.reg_token[0])
    embedding = model.pos_embed[0]
    own = 0 if model.no_embed_class else len(prefix)  # positions of the prefix tokens stand before the grid's
    prefix = [token + embedding[index] if own else token for index, token in enumerate(prefix)]
    tokens = tokens + resized_position_embedding(embedding[own:], grid)
    return model.norm_pre(torch.cat([torch.stack(prefix), tokens])[None] if prefix else tokens[None]), len(prefix), grid


@torch.no_grad()
def facet_maps(
    model: Any,
    grey: Tensor,
    *,
    stride: int,
    block: int,
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
) -> dict[str, Tensor]:
    """All facets of one grey image, (H, W): all blocks run, one is overheard, the class token is dropped.

    Returns:
        for "query", "key", "value" and "token" (the block's output) a tensor of shape (C, h, w), heads concatenated.
    """
    heard: dict[str, Tensor] = {}
    part = model.blocks[block]
    hooks = [
        part.attn.qkv.register_forward_hook(lambda _module, _inputs, output: heard.update(qkv=output)),
        part.register_forward_hook(lambda _module, _inputs, output: heard.update(token=output)),
    ]
    tokens, prefix, grid = vit_tokens(model, normalised_rgb(grey, mean, std), stride)
    for each in model.blocks:
        tokens = each(tokens)
    for hook in hooks:
        hook.remove()
    heads = part.attn.num_heads
    qkv = heard["qkv"][0].reshape(len(heard["qkv"][0]), 3, heads, -1)
    found = {"token": on_grid(heard["token"][0, prefix:], grid)}
    for index, facet in enumerate(FACETS):
        found[facet] = on_grid(torch.cat([qkv[prefix:, index, head] for head in range(heads)], dim=1), grid)
    return found


def on_grid(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """(h * w, C), row by row -> (C, h, w)."""
    rows, columns = grid
    result = torch.zeros(tokens.shape[1], rows, columns).to(tokens)
    for row in range(rows):
        for column in range(columns):
            result[:, row, column] = tokens[row * columns + column]
    return result


def facet_map(
    model: Any,
    grey: Tensor,
    *,
    stride: int = 4,
    block: int = 8,
    facet: str = "key",
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
) -> Tensor:
    """One of :func:`facet_maps`: what the paper takes, unless told otherwise."""
    return facet_maps(model, grey, stride=stride, block=block, mean=mean, std=std)[facet]
