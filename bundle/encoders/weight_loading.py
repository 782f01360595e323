"""Weights of a local file, under the names of any project, for a vision transformer of timm; or why they do not fit."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from timm.models import eva
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch import Tensor

from bundle.encoders.catalogue import FAMILIES, card_of, title
from bundle.encoders.weight_files import declared_kind, find_weights, in_short, read_tensors
from bundle.errors import EncoderError, a_few

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

#: Parts of a model that no encoder uses: they may be missing in a file.
UNUSED_PARTS = ("norm", "fc_norm", "head", "head_drop", "attn_pool", "neck")

#: Parts of which a file must not have more than the model: it would be the file of another model. Text towers,
#: decoders, heads and the like are no concern of an encoder.
OWN_PARTS = ("blocks", "patch_embed", "norm_pre", "cls_token", "reg_token", "pos_embed")

#: What the projects call the register tokens.
REGISTERS = ("register_tokens", "reg_token", "storage_tokens")

#: Names that only some families have, in timm's form.
SIGNS = {
    "attn.rel_pos_h": ("SAM",),
    "storage_tokens": ("DINOv3",),
    "register_tokens": ("DINOv2", "DINOv3"),
    "decoder_embed.weight": ("MAE",),
    "norm_pre.weight": ("CLIP",),
}


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


def load_weights(model: Any, source: str | Path, name: str) -> None:
    """Load a model's weights from a local file or folder.

    Args:
        model: timm's model.
        source: see :func:`bundle.encoders.weight_files.find_weights`. The names may be timm's, those of the projects
            that published the weights, or those of Hugging Face's transformers.
        name: timm's name of the model, for messages and to tell the kind of weights.

    Raises:
        EncoderError: when the file cannot be read or holds other weights.
    """
    path = find_weights(source)
    try:
        tensors = read_tensors(path)
        state = find_transformer(tensors)
        _check_kind({*tensors, *state}, declared_kind(path), name)
        _check_sizes(state, model)
        state, own = to_timm(state, model), model.state_dict()
        _check_names(state, own)
        model.load_state_dict({key: value for key, value in state.items() if key in own}, strict=False)
    except Exception as error:  # timm's converters raise what comes
        raise EncoderError(f"{path} does not hold the weights of {title(name)}: {in_short(error)}.") from error


def _check_kind(names: set[str], declared: dict[str, str], name: str) -> None:
    """Refuse what the names, or the config.json beside the file, tell to be of another family than the catalogue's."""
    card = card_of(name)
    if card is None:
        return
    for sign, families in SIGNS.items():
        if card.family not in families and any(each.endswith(sign) for each in names):
            raise EncoderError(f"its names are those of {' or '.join(families)}")
    kind = declared.get("model_type")
    if kind is not None and kind not in FAMILIES[card.family]:
        raise EncoderError(f"the config.json beside it says that this is a model of the type {kind}")
    tag = declared.get("tag")
    if tag is not None and tag != name.partition(".")[2]:
        raise EncoderError(f"the config.json beside it says that these are the weights {tag}")


def _check_sizes(state: State, model: Any) -> None:
    """Refuse what timm's converter would quietly resample, or stumble over: other patches, positions or registers."""
    shape, own = tuple(state[ANCHOR].shape), tuple(model.patch_embed.proj.weight.shape)
    if shape != own:
        raise EncoderError(f"its projection of the patches has the shape {shape}, expected {own}")
    registers = any(name in state for name in REGISTERS)
    if registers != (getattr(model, "reg_token", None) is not None):
        here, expected = ("", "none") if registers else ("no ", "some")
        raise EncoderError(f"it has {here}register tokens, but this encoder has {expected}")
    cells = model.patch_embed.grid_size[0] * model.patch_embed.grid_size[1]
    value, prefix = state.get("pos_embed"), getattr(model, "num_prefix_tokens", 0)  # SAM has none
    if value is not None and value.ndim <= 3 and not 0 <= value.shape[-2] - cells <= prefix:
        raise EncoderError(f"its pos_embed is for {value.shape[-2]} tokens, expected {cells} patches")


def _check_names(state: State, own: State) -> None:
    used = [name for name in own if name.split(".")[0] not in UNUSED_PARTS]
    missing = [name for name in used if name not in state]
    if missing:
        raise EncoderError(f"missing is {a_few(missing)}")
    wrong = [name for name in used if state[name].shape != own[name].shape]
    if wrong:
        first = wrong[0]
        raise EncoderError(
            f"{a_few(wrong)} of another shape, such as {tuple(state[first].shape)}, expected {tuple(own[first].shape)}"
        )
    surplus = [name for name in state if name.split(".")[0] in OWN_PARTS and name not in own]
    if surplus:
        raise EncoderError(f"it holds more than this encoder has: {a_few(surplus)}")
