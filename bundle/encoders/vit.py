"""Vision transformers of timm as frozen encoders: the paper's DINO ViT-S/8 and any other by timm's name.

Paper, section 3, "Implementation Details": DINO-S, "key" of the ninth layer, patches of 8 x 8 at stride 4.
"""

from difflib import get_close_matches
from typing import Any, Literal

import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from bundle.encoders.base import FrozenEncoder, state_digest
from bundle.encoders.catalogue import CATALOGUE, title
from bundle.encoders.weight_loading import UNUSED_PARTS, load_weights
from bundle.errors import EncoderError

Facet = Literal["key", "query", "value", "token"]


class TimmVitEncoder(FrozenEncoder):
    """A vision transformer of timm, read out at one block and one facet.

    Args:
        name: timm's name of the model, such as ``"vit_small_patch8_224.dino"``.
        facet: what to read: the block's ``"key"``, ``"query"`` or ``"value"`` projection, all heads concatenated, or
            its output ``"token"``. Class and register tokens are dropped.
        block: 0-based index of the block that is read; later blocks are not even kept.
        stride: stride in pixels of the patch convolution, from 1 to the patch size; patches overlap where it is
            smaller. The grid is ``1 + (side - patch) // stride``. None keeps the patch size.
        weights: ``"hub"`` downloads timm's weights (or finds them in the local cache), ``"package"`` takes those of
            an installed package, ``"random"`` draws them from ``seed`` (for tests), any other string is a local file or
            folder (see :func:`bundle.encoders.weight_loading.load_weights`).
        seed: seed of random weights.

    Raises:
        EncoderError: when the name is unknown, the model is no vision transformer with the facet asked for, or the
            weights cannot be had.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        name: str,
        *,
        facet: Facet = "key",
        block: int = 8,
        stride: int | None = 4,
        weights: str = "hub",
        seed: int = 0,
    ) -> None:
        super().__init__()
        model: Any = _create_model(name, weights, seed)
        blocks = getattr(model, "blocks", None)
        projection = getattr(getattr(model, "patch_embed", None), "proj", None)
        if (
            not isinstance(blocks, (nn.Sequential, nn.ModuleList))
            or not isinstance(projection, nn.Conv2d)
            or hasattr(model.patch_embed, "backbone")
        ):
            raise EncoderError(f"{name} is no vision transformer with patches and blocks: choose a ViT of timm.")
        if not 0 <= block < len(blocks):
            raise EncoderError(f"block is {block}, but {name} has the blocks 0 to {len(blocks) - 1}.")
        if facet != "token" and not (hasattr(blocks[block], "norm1") and hasattr(blocks[block], "attn")):
            raise EncoderError(f"the blocks of {name} have no {facet} that can be read: choose the facet 'token'.")
        patch = int(projection.kernel_size[0])
        stride = patch if stride is None else stride
        if not 1 <= stride <= patch:
            raise EncoderError(f"stride is {stride}, expected 1 to {patch} (the patch size of {name}).")
        projection.stride = (stride, stride)
        model.patch_embed.img_size = None  # any size will do: overlapping patches need no divisible sides
        kept: list[Any] = list(blocks)[: block + 1]
        if facet != "token":
            self.heads = int(kept[-1].attn.num_heads)
            kept[-1] = FacetReadOut(kept[-1], facet)
        model.blocks = nn.Sequential(*kept) if isinstance(blocks, nn.Sequential) else nn.ModuleList(kept)
        for unused in UNUSED_PARTS:
            if hasattr(model, unused):
                setattr(model, unused, nn.Identity())
        self.model: Any = model
        for statistic in ("mean", "std"):
            values = torch.tensor(model.pretrained_cfg[statistic]).reshape(1, 3, 1, 1)
            self.register_buffer(statistic, values, persistent=False)
        self.channels = int(model.embed_dim)
        self.stride = stride
        self.minimum_side = patch
        self.spec = {"name": name, "facet": facet, "block": block, "stride": stride}
        self.freeze()
        self.digest = state_digest(self.model)

    def encode(self, image: Tensor) -> Tensor:
        """Encode grey images: (B, 1, H, W), 0 to 1 -> (B, C, h, w), h = 1 + (H - patch) // stride."""
        inputs = (image.expand(-1, 3, -1, -1) - self.mean) / self.std
        grid = tuple(1 + (side - self.minimum_side) // self.stride for side in image.shape[-2:])
        if isinstance(self.model, VisionTransformer):
            tokens = self.model.blocks(_embed(self.model, inputs))
        else:  # rotary or relative positions: timm adapts them to the grid itself
            tokens = self.model.forward_features(inputs)
        if tokens.ndim == 4:  # SAM keeps its tokens on the grid, channels first after its neck
            return tokens
        tokens = tokens[:, tokens.shape[1] - grid[0] * grid[1] :]
        return tokens.transpose(1, 2).reshape(len(image), -1, *grid)


class FacetReadOut(nn.Module):
    """The part of a transformer block that gives one facet: its first norm and one of its three projections.

    It stands in place of the last block, so that neither attention nor the block's perceptron is computed for nothing.
    """

    norm: nn.Module
    projection: nn.Module

    def __init__(self, block: Any, facet: str) -> None:
        super().__init__()
        attention = block.attn
        self.norm = block.norm1
        fused = getattr(attention, "qkv", None)
        if fused is None:
            self.projection = {"query": attention.q_proj, "key": attention.k_proj, "value": attention.v_proj}[facet]
            return
        index = ("query", "key", "value").index(facet)
        state = {"weight": fused.weight.chunk(3)[index]}
        if fused.bias is not None:
            state["bias"] = fused.bias.chunk(3)[index]
        elif (beside := getattr(attention, f"{facet[0]}_bias", None)) is not None:  # as EVA keeps it
            state["bias"] = beside
        # Not initialised: random numbers drawn here would move those of whoever builds the network.
        width, channels = state["weight"].shape
        self.projection = nn.utils.skip_init(nn.Linear, channels, width, bias="bias" in state)
        self.projection.load_state_dict(state)

    def forward(self, tokens: Tensor, *_: Any, **__: Any) -> Tensor:
        """Tokens of shape (..., C) to the facet, all heads concatenated; positions given to the block are not used."""
        return self.projection(self.norm(tokens))


def _create_model(name: str, weights: str, seed: int) -> nn.Module:
    """Build the timm model with its weights; every failure becomes one sentence."""
    if not _is_known(name):
        known = [*CATALOGUE, *timm.list_models(pretrained=True)]
        close = ", ".join(get_close_matches(name, known, n=5)) or "none, see docs/configuration.md"
        raise EncoderError(
            f"encoder {name!r} is neither 'xfeat' nor a model of timm, nor a short name of one; near names: {close}."
        )
    options: dict[str, Any] = {} if name.startswith("samvit") else {"dynamic_img_size": True}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model = timm.create_model(name, pretrained=weights == "hub", num_classes=0, **options)
        except TypeError as error:  # timm's word for an option that this kind of model does not have
            raise EncoderError(
                f"{name} is no vision transformer that takes images of any size: choose another."
            ) from error
        except Exception as error:  # the hub's client raises many types: connection, proxy, cache, missing file
            if weights != "hub":
                raise
            raise EncoderError(
                f"the weights of {title(name)} could not be fetched from the model hub ({type(error).__name__}); give "
                "a local file or folder with --encoder_weights, or use the encoder 'xfeat', which needs no hub."
            ) from error
    if weights not in ("hub", "random"):
        load_weights(model, weights, name)
    return model


def _is_known(name: str) -> bool:
    """Whether timm has the model and, where the name has one, the tag of its weights after the dot."""
    try:
        return bool(timm.is_model(name)) and ("." not in name or timm.models.get_pretrained_cfg(name) is not None)
    except RuntimeError:  # timm's word for a tag that it does not have
        return False


def _embed(model: VisionTransformer, inputs: Tensor) -> Tensor:
    """Patch tokens with prefix tokens and resized position embedding: (B, prefix + h*w, C)."""
    patches = model.patch_embed.proj(inputs)
    batch, _, rows, columns = patches.shape
    tokens = patches.flatten(2).transpose(1, 2)
    prefix = [token.expand(batch, -1, -1) for token in (model.cls_token, model.reg_token) if token is not None]
    if model.pos_embed is not None:
        count = 0 if model.no_embed_class else model.num_prefix_tokens
        prefix_embed, patch_embed = model.pos_embed[:, :count], model.pos_embed[:, count:]
        tokens = tokens + resize_position_embedding(patch_embed, (rows, columns))
        if count:
            prefix = [torch.cat(prefix, dim=1) + prefix_embed]
    return model.norm_pre(torch.cat([*prefix, tokens], dim=1))


def resize_position_embedding(embedding: Tensor, grid: tuple[int, int]) -> Tensor:
    """Resize a square position embedding bicubically to another grid.

    The scale factor is ``(new + 0.1) / old`` and is used as given, as DINO's and the paper's public code do; the sizes
    alone would give slightly other values.

    Args:
        embedding: tensor of shape (1, n * n, C).
        grid: (h, w).

    Returns:
        tensor of shape (1, h * w, C).
    """
    side = round(embedding.shape[1] ** 0.5)
    if grid == (side, side):
        return embedding
    square = embedding.reshape(1, side, side, -1).permute(0, 3, 1, 2)
    factors = ((grid[0] + 0.1) / side, (grid[1] + 0.1) / side)
    resized = F.interpolate(square, scale_factor=factors, mode="bicubic", recompute_scale_factor=False)
    return resized.permute(0, 2, 3, 1).reshape(1, grid[0] * grid[1], -1)
