"""The names of weights: each project has its own, and timm's are the ones that the encoders have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from timm.models import eva
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch import Tensor

from bundle.errors import EncoderError

State = dict[str, Tensor]

#: The name by which a vision transformer is found, whatever stands before it: ``module.``, ``teacher.backbone.``.
ANCHOR = "patch_embed.proj.weight"

#: What Facebook Research, OpenAI and Hugging Face's transformers call the parts, as regular expressions, and timm's
#: names of them; one after the other.
RENAMINGS = (
    (r"\bembeddings\.patch_embeddings?\.(?:projection\.)?|\bpatch_embed\.projection\.|\bconv1\.", "patch_embed.proj."),
    (r"\bembeddings\.position_embedding(?:s|\.weight)$|\bpositional_embedding$", "pos_embed"),
    (r"\b(?:embeddings\.)?class_embedding$", "cls_token"),
    (r"\bembeddings\.", ""),
    (r"\bblocks\.\d+\.(\d+)\.", r"blocks.\1."),  # DINOv2's trainings, which keep blocks in chunks
    (r"\b(?:encoder\.layers?|layers?|transformer\.resblocks)\.(\d+)\.", r"blocks.\1."),
    (r"\.(?:attention|self_attn)\.(?:attention\.)?([qkv])(?:uery|ey|alue|_proj)\.", r".attn.\1."),
    (r"\.attn\.in_proj_", ".attn.qkv."),
    (r"\.(?:attention\.output\.dense|attention\.o_proj|(?:self_)?attn\.out_proj)\.", ".attn.proj."),
    (r"\.(?:intermediate\.dense|mlp\.(?:up_proj|lin1|c_fc))\.", ".mlp.fc1."),
    (r"\.(?:output\.dense|mlp\.(?:down_proj|lin2|c_proj))\.", ".mlp.fc2."),
    (r"\.(?:layernorm_before|layer_norm1|ln_1)\.", ".norm1."),
    (r"\.(?:layernorm_after|layer_norm2|ln_2)\.", ".norm2."),
    (r"\.layer_scale([12])\.lambda1$", r".ls\1.gamma"),
    (r"\b(?:pre_layrnorm|ln_pre)\.", "norm_pre."),  # their spelling
    (r"\b(?:layernorm|post_layernorm|ln_post)\.", "norm."),
)


def find_transformer(tensors: Mapping[str, Tensor]) -> State:
    """The one vision transformer among the tensors of a file, its parts named as timm does, as far as they are known.

    Where a file has both a student and its teacher, or a model and its moving average, the latter is taken: it is the
    one that the projects themselves use.

    Raises:
        EncoderError: when there is none, or more than one.
    """
    renamed = dict(tensors)
    for pattern, ours in RENAMINGS:
        renamed = {re.sub(pattern, ours, name): value for name, value in renamed.items()}
    ends = [name.removesuffix(ANCHOR) for name in renamed if re.search(rf"(^|\.){re.escape(ANCHOR)}$", name)]
    places = [prefix for prefix in ends if any(name.startswith(f"{prefix}blocks.") for name in renamed)]
    for better in ("teacher", "ema"):
        preferred = [place for place in places if better in re.split(r"[._]", place)]
        places = preferred if len(places) > 1 and preferred else places
    if not places:
        raise EncoderError(
            f"none of its {len(tensors)} tensors has the name of a projection of patches "
            f"(the first names are {', '.join(list(tensors)[:3]) or 'none'})."
        )
    if len(places) > 1:
        raise EncoderError(f"it holds {len(places)} vision transformers ({', '.join(places)}).")
    return {name.removeprefix(places[0]): value for name, value in renamed.items() if name.startswith(places[0])}


def to_timm(state: State, model: Any) -> State:
    """The weights in the form of timm's model, which decides between variants; names that it does not have stay.

    Args:
        state: what :func:`find_transformer` gave.
        model: timm's model.

    Raises:
        EncoderError: when a weight would have to be left out that is not zero.
    """
    for name in ("cls_token", "pos_embed"):
        if name in state and state[name].ndim < 3:  # CLIP's have no dimension for the batch
            state[name] = state[name].reshape(1, -1, state[name].shape[-1])
    state = _fuse_projections(state)
    if isinstance(model, VisionTransformer):  # DINOv2's registers
        return checkpoint_filter_fn(state, model)
    state = {name.replace("register_tokens", "storage_tokens"): value for name, value in state.items()}
    return eva.checkpoint_filter_fn(_without_zero_biases(state, model), model) if "storage_tokens" in state else state


def _fuse_projections(state: State) -> State:
    """Query, key and value one above the other, as one projection; a bias that a model lacks is zero."""
    fused = dict(state)
    for name in [name for name in state if name.endswith(".attn.q.weight")]:
        attention = name.removesuffix("q.weight")
        if not all(f"{attention}{part}.weight" in state for part in "kv"):
            continue  # whoever loads the weights finds that the projection is missing
        absent = state[name].new_zeros(len(state[name]))
        for kind in ("weight", "bias"):
            parts = [fused.pop(f"{attention}{part}.{kind}", absent) for part in "qkv"]
            if kind == "weight" or f"{attention}q.bias" in state:
                fused[f"{attention}qkv.{kind}"] = torch.cat(parts)
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
