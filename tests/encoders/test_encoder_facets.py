"""The features that an encoder gives are those that a hook hears in the whole, unchanged model of timm."""

import copy
import functools
from typing import Any

import pytest
import timm
import torch
from timm.models.vision_transformer_sam import window_unpartition
from torch import Tensor

from bundle.encoders import FrozenEncoder, create_encoder
from bundle.encoders.vit import resize_position_embedding
from bundle.networks.decoders import LogBinning
from tests.reference.encoder import FACETS, facet_map, normalised_rgb, resized_position_embedding
from tests.reference.log_binning import log_binned
from tests.reference.models import seeded_model

GREY = torch.rand(112, 128, generator=torch.Generator().manual_seed(4))


def assert_equal_features(found: Tensor, expected: Tensor) -> None:
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * expected.abs().max().item())


def normalisation(model: Any) -> dict[str, tuple[float, ...]]:
    return {key: model.pretrained_cfg[key] for key in ("mean", "std")}


def encoder_of(original: Any, monkeypatch: pytest.MonkeyPatch, name: str, **settings: Any) -> FrozenEncoder:
    monkeypatch.setattr(timm, "create_model", lambda _name, **_options: copy.deepcopy(original))
    return create_encoder(name=name, weights="random", **settings)


@torch.no_grad()
def overheard(original: Any, stride: int, block: int) -> dict[str, Tensor]:
    """All facets of one image, each (C, h, w), from timm's own way through the model."""
    heard: dict[str, Tensor] = {}
    part = original.blocks[block]
    part.attn.qkv.register_forward_hook(lambda _module, _inputs, output: heard.update(qkv=output))
    part.register_forward_hook(lambda _module, _inputs, output: heard.update(token=output))
    original.patch_embed.proj.stride = (stride, stride)
    original.patch_embed.img_size = None
    original.forward_features(normalised_rgb(GREY, **normalisation(original))[None])
    grid = tuple(1 + (side - 16) // stride for side in GREY.shape)
    tokens, qkv = heard["token"], heard["qkv"]
    if tokens.ndim == 4:  # SAM: tokens on the grid, and some of its blocks look at windows of it
        side = part.window_size
        if side:
            padded = tuple(-(-cells // side) * side for cells in grid)
            qkv = window_unpartition(qkv.reshape(-1, side, side, qkv.shape[-1]), side, grid, padded)
        qkv, tokens = qkv.reshape(1, *grid, -1), tokens.reshape(1, *grid, -1)
    else:
        qkv, tokens = (each[:, original.num_prefix_tokens :].reshape(1, *grid, -1) for each in (qkv, tokens))
    parts = dict(zip(FACETS, qkv.chunk(3, dim=-1)), token=tokens)
    return {facet: value[0].permute(2, 0, 1) for facet, value in parts.items()}


@functools.cache
def relative_model(name: str) -> Any:
    return seeded_model(name, seed=2, **({} if name.startswith("samvit") else {"dynamic_img_size": True}))


@pytest.mark.parametrize(
    ("name", "block"),
    [("vit_small_patch16_dinov3.lvd1689m", 1), ("samvit_base_patch16.sa1b", 1), ("samvit_base_patch16.sa1b", 2)],
)
def test_relative_positions(monkeypatch: pytest.MonkeyPatch, name: str, block: int) -> None:
    """DINOv3 (rotary positions, registers) and SAM (windowed blocks, and block 2 that sees the whole)."""
    original = relative_model(name)
    expected = overheard(copy.deepcopy(original), 8, block)
    for facet in (*FACETS, "token"):
        encoder = encoder_of(original, monkeypatch, name, facet=facet, block=block, stride=8)
        assert expected[facet].shape[0] == encoder.channels
        assert_equal_features(encoder(GREY[None, None])[0], expected[facet])


@pytest.mark.parametrize("size", [(64, 79), (97, 64), (16, 33), (50, 16)])
def test_odd_sizes_and_single_patches(monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]) -> None:
    original = seeded_model("vit_tiny_patch16_224", seed=3)
    encoder = encoder_of(original, monkeypatch, "vit_tiny_patch16_224", block=2)
    grey = torch.rand(*size)
    expected = facet_map(original, grey, block=2, **normalisation(original))
    assert_equal_features(encoder(grey[None, None])[0], expected)


@pytest.mark.parametrize("grid", [(14, 14), (68, 55), (13, 16), (14, 15), (1, 1), (3, 40)])
def test_position_embedding_is_resized_bicubically_by_the_factor_as_given(grid: tuple[int, int]) -> None:
    embedding = torch.randn(14 * 14, 6, dtype=torch.float64)
    found = resize_position_embedding(embedding[None], grid)[0]
    torch.testing.assert_close(found, resized_position_embedding(embedding, grid), rtol=0, atol=1e-9)


def test_the_papers_encoder_at_the_papers_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """DINO ViT-S/8, 277 x 224 pixels: the key of block 8 on 68 x 55 tokens, and its log-binning."""
    name = "vit_small_patch8_224.dino"
    original = seeded_model(name, seed=6, depth=10)  # one block more than needed
    encoder = encoder_of(original, monkeypatch, name)
    grey = torch.rand(277, 224)
    found = encoder(grey[None, None])
    assert found.shape == (1, 384, 68, 55) and len(encoder.model.blocks) == 9, "the last is not kept"
    expected = facet_map(original, grey, stride=4, block=8)
    assert_equal_features(found[0], expected)
    binned = LogBinning()(found[:, :32])[0]  # 32 channels tell as much as 384
    assert_equal_features(binned, log_binned(expected[:32]))
