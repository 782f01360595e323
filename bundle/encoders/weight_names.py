"""The names of weights: each project has its own, and timm's are the ones that the encoders have.

A *dialect* is how one project names the parts of a vision transformer. It is recognised by the name of the
projection of the patches, whatever stands before it: ``module.``, ``teacher.backbone.``, ``image_encoder.``, ``vit.``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from timm.models import eva
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch import Tensor

from bundle.encoders.catalogue import CLIP, DINO, DINOV2, DINOV3, MAE, SAM, SUPERVISED, Family
from bundle.errors import EncoderError

State = dict[str, Tensor]


@dataclass(frozen=True)
class Dialect:
    """How one project names its weights.

    Attributes:
        speaker: who names them so, for messages.
        anchor: the name by which the dialect is recognised, after any prefix: the projection of the patches.
        families: what a file of this dialect can hold.
        beside: a name that must be there too, where the anchor alone is not telling.
        renamings: regular expressions and what takes the place of what they find, one after the other.
        prefix: what timm's own converter wants to see before each name.
    """

    speaker: str
    anchor: str
    families: tuple[Family, ...]
    beside: str | None = None
    renamings: tuple[tuple[str, str], ...] = ()
    prefix: str = ""


#: timm's names are those of Facebook's projects, but for a few that :func:`to_timm_names` knows.
FACEBOOK = Dialect(
    speaker="timm or Facebook Research",
    anchor="patch_embed.proj.weight",
    families=(DINO, DINOV2, DINOV3, SAM, MAE, SUPERVISED, CLIP),
    renamings=(
        (r"\.mlp\.lin([12])\.", r".mlp.fc\1."),  # SAM
        (r"^blocks\.\d+\.(\d+)\.", r"blocks.\1."),  # DINOv2's trainings, which keep blocks in chunks
    ),
)
OPENAI = Dialect(speaker="OpenAI", anchor="conv1.weight", families=(CLIP,), beside="class_embedding", prefix="visual.")
TRANSFORMERS_VIT = Dialect(
    speaker="Hugging Face",
    anchor="embeddings.patch_embeddings.projection.weight",
    families=(DINO, DINOV2, MAE, SUPERVISED),
    renamings=(
        (r"^embeddings\.position_embeddings$", "pos_embed"),
        (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
        (r"^embeddings\.", ""),
        (r"^encoder\.layer\.", "blocks."),
        (r"\.attention\.attention\.(q|k|v)(?:uery|ey|alue)\.", r".attn.\1."),
        (r"\.attention\.output\.dense\.", ".attn.proj."),
        (r"\.intermediate\.dense\.", ".mlp.fc1."),
        (r"\.output\.dense\.", ".mlp.fc2."),
        (r"\.layernorm_before\.", ".norm1."),
        (r"\.layernorm_after\.", ".norm2."),
        (r"\.layer_scale([12])\.lambda1$", r".ls\1.gamma"),
        (r"^layernorm\.", "norm."),
    ),
)
TRANSFORMERS_DINOV3 = Dialect(
    speaker="Hugging Face",
    anchor="embeddings.patch_embeddings.weight",
    families=(DINOV3,),
    renamings=(
        (r"^embeddings\.register_tokens$", "storage_tokens"),
        (r"^embeddings\.patch_embeddings\.", "patch_embed.proj."),
        (r"^embeddings\.", ""),
        (r"^layer\.", "blocks."),
        (r"\.attention\.([qkv])_proj\.", r".attn.\1."),
        (r"\.attention\.o_proj\.", ".attn.proj."),
        (r"\.mlp\.up_proj\.", ".mlp.fc1."),
        (r"\.mlp\.down_proj\.", ".mlp.fc2."),
        (r"\.layer_scale([12])\.lambda1$", r".ls\1.gamma"),
    ),
)
TRANSFORMERS_CLIP = Dialect(
    speaker="Hugging Face",
    anchor="embeddings.patch_embedding.weight",
    families=(CLIP,),
    beside="embeddings.class_embedding",
    renamings=(  # to OpenAI's names
        (r"^embeddings\.class_embedding$", "class_embedding"),
        (r"^embeddings\.position_embedding\.weight$", "positional_embedding"),
        (r"^embeddings\.patch_embedding\.", "conv1."),
        (r"^pre_layrnorm\.", "ln_pre."),  # their spelling
        (r"^post_layernorm\.", "ln_post."),
        (r"^encoder\.layers\.", "transformer.resblocks."),
        (r"\.self_attn\.([qkv])_proj\.", r".attn.\1."),
        (r"\.self_attn\.out_proj\.", ".attn.out_proj."),
        (r"\.layer_norm([12])\.", r".ln_\1."),
        (r"\.mlp\.fc1\.", ".mlp.c_fc."),
        (r"\.mlp\.fc2\.", ".mlp.c_proj."),
    ),
    prefix="visual.",
)
TRANSFORMERS_SAM = Dialect(
    speaker="Hugging Face",
    anchor="patch_embed.projection.weight",
    families=(SAM,),
    renamings=(
        (r"^patch_embed\.projection\.", "patch_embed.proj."),
        (r"^layers\.", "blocks."),
        (r"\.layer_norm([12])\.", r".norm\1."),
        (r"\.mlp\.lin([12])\.", r".mlp.fc\1."),
    ),
)
DIALECTS = (FACEBOOK, OPENAI, TRANSFORMERS_VIT, TRANSFORMERS_DINOV3, TRANSFORMERS_CLIP, TRANSFORMERS_SAM)

#: Names that only one family has.
SIGNS: tuple[tuple[str, Family], ...] = (
    ("attn.rel_pos_h", SAM),
    ("storage_tokens", DINOV3),
    ("register_tokens", DINOV2),
    ("decoder_embed.weight", MAE),
    ("norm_pre.weight", CLIP),
)


@dataclass(frozen=True)
class FoundWeights:
    """The weights of one vision transformer, found in a file.

    Attributes:
        dialect: whose names they have.
        state: the weights by their names in this dialect, without what stood before the names.
        families: what they can be the weights of.
    """

    dialect: Dialect
    state: State
    families: tuple[Family, ...]

    @property
    def patches(self) -> Tensor:
        """The projection of the patches: (C, 3, patch, patch)."""
        return self.state[self.dialect.anchor]


def recognise(tensors: Mapping[str, Tensor]) -> FoundWeights:
    """Find the vision transformer among the tensors of a file.

    Where a file has both a student and its teacher, or a model and its moving average, the latter is taken: it is the
    one that the projects themselves use.

    Raises:
        EncoderError: when there is none, or more than one.
    """
    places = [(dialect, prefix) for dialect in DIALECTS for prefix in _prefixes(tensors, dialect)]
    for better in ("teacher", "ema"):
        preferred = [place for place in places if better in re.split(r"[._]", place[1])]
        places = preferred if len(places) > 1 and preferred else places
    if not places:
        raise EncoderError(
            f"none of its {len(tensors)} tensors has the name of a projection of patches "
            f"(the first names are {', '.join(list(tensors)[:3]) or 'none'})."
        )
    if len(places) > 1:
        raise EncoderError(f"it holds {len(places)} vision transformers ({', '.join(p for _, p in places)}).")
    dialect, prefix = places[0]
    state = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    telling = tuple(family for sign, family in SIGNS if any(name.endswith(sign) for name in tensors))
    return FoundWeights(
        dialect, state, tuple(family for family in dialect.families if family in telling) or dialect.families
    )


def to_timm_names(found: FoundWeights, model: Any) -> State:
    """The weights by timm's names, as far as the model has such parts; other names stay.

    Args:
        found: what :func:`recognise` found.
        model: timm's model, which decides between variants.

    Raises:
        EncoderError: when a weight would have to be left out that is not zero.
    """
    state: State = {}
    for name, value in found.state.items():
        for pattern, replacement in found.dialect.renamings:
            name = re.sub(pattern, replacement, name)
        state[name] = value
    state = _fuse_projections(state)
    if "storage_tokens" in state:
        return eva.checkpoint_filter_fn(_without_zero_biases(state, model), model)
    if isinstance(model, VisionTransformer):  # OpenAI's names, and DINOv2's registers
        return checkpoint_filter_fn({found.dialect.prefix + name: value for name, value in state.items()}, model)
    return state


def _prefixes(tensors: Mapping[str, Tensor], dialect: Dialect) -> list[str]:
    """What stands before the dialect's names; mostly one, and possibly nothing."""
    ends = [name.removesuffix(dialect.anchor) for name in tensors if name.endswith(dialect.anchor)]
    whole = [prefix for prefix in ends if prefix == "" or prefix.endswith(".")]
    return [prefix for prefix in whole if dialect.beside is None or prefix + dialect.beside in tensors]


def _fuse_projections(state: State) -> State:
    """Query, key and value one above the other, as one projection; a bias that a model lacks is zero."""
    fused = dict(state)
    for name in state:
        if not name.endswith(".attn.q.weight"):
            continue
        attention = name.removesuffix("q.weight")
        weights = [state[f"{attention}{part}.weight"] for part in "qkv" if f"{attention}{part}.weight" in state]
        if len(weights) < 3:
            continue  # whoever loads the weights finds that the projection is missing
        fused[f"{attention}qkv.weight"] = torch.cat(weights)
        if any(f"{attention}{part}.bias" in state for part in "qkv"):
            absent = weights[0].new_zeros(len(weights[0]))
            fused[f"{attention}qkv.bias"] = torch.cat([state.get(f"{attention}{part}.bias", absent) for part in "qkv"])
        for part in "qkv":
            fused.pop(f"{attention}{part}.weight")
            fused.pop(f"{attention}{part}.bias", None)
    return fused


def _without_zero_biases(state: State, model: Any) -> State:
    """DINOv3 without the biases that the model does not have, which must be zero: timm would leave any out unseen.

    The key's bias is masked in DINOv3.
    """
    own, kept = model.state_dict(), dict(state)
    for name in state:
        if name.endswith(".attn.qkv.bias") and name.replace("qkv.bias", "q_bias") not in own:
            query, _, values = kept.pop(name).chunk(3)
            if query.any() or values.any():
                raise EncoderError(
                    f"its {name} is not zero, and this encoder has none: choose timm's variant with _qkvb in its name."
                )
    return kept
