"""Put the weights of a local file into a vision transformer of timm, or say in one sentence why they do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bundle.encoders.catalogue import CLIP, DINOV2, DINOV3, MAE, SAM, card_of, title
from bundle.encoders.packaged_weights import packaged_file, read_packaged_tensors
from bundle.encoders.weight_files import declared_kind, find_weights, in_short, read_tensors
from bundle.encoders.weight_names import ANCHOR, State, find_transformer, to_timm
from bundle.errors import EncoderError

#: Parts of a model that no encoder uses: they may be missing in a file.
UNUSED_PARTS = ("norm", "fc_norm", "head", "head_drop", "attn_pool", "neck")

#: Parts of which a file must not have more than the model: it would be the file of another model. Text towers,
#: decoders, heads and the like are no concern of an encoder.
OWN_PARTS = ("blocks", "patch_embed", "norm_pre", "cls_token", "reg_token", "pos_embed")

#: What the projects call the register tokens.
REGISTERS = ("register_tokens", "reg_token", "storage_tokens")

#: Names that only some families have, in timm's form.
SIGNS = {
    "attn.rel_pos_h": (SAM,),
    "storage_tokens": (DINOV3,),
    "register_tokens": (DINOV2, DINOV3),
    "decoder_embed.weight": (MAE,),
    "norm_pre.weight": (CLIP,),
}


def load_weights(model: Any, source: str | Path, name: str) -> None:
    """Load a model's weights from a local file or folder.

    Args:
        model: timm's model.
        source: ``"package"`` (see :mod:`bundle.encoders.packaged_weights`), or a file or folder (see
            :func:`bundle.encoders.weight_files.find_weights`). The names may be timm's, those of the projects that
            published the weights, or those of Hugging Face's transformers.
        name: timm's name of the model, for messages and to tell the kind of weights.

    Raises:
        EncoderError: when the file cannot be read or holds other weights.
    """
    path = packaged_file() if source == "package" else find_weights(source)
    try:
        if path.suffix == ".npz":  # the format of google-research/vision_transformer
            _check_sizes_of_npz(path, model)
            model.load_pretrained(str(path))
            return
        tensors = read_packaged_tensors() if source == "package" else read_tensors(path)
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
            raise EncoderError(f"its names are those of {' or '.join(family.name for family in families)}")
    kind = declared.get("model_type")
    if kind is not None and kind not in card.family.model_types:
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


def _check_sizes_of_npz(path: Path, model: Any) -> None:
    """The same for Google's files, where the patches' kernel is (patch, patch, 3, C)."""
    with np.load(path, allow_pickle=False) as content:
        kernel = content["embedding/kernel"].shape
        tokens = content["Transformer/posembed_input/pos_embedding"].shape[1]
    height, width, colours, channels = kernel
    own = tuple(model.patch_embed.proj.weight.shape)
    if (channels, colours, height, width) != own or tokens != model.pos_embed.shape[1]:
        raise EncoderError(f"its patches are {height} x {width} x {channels}, for {tokens} tokens, expected {own}")


def _check_names(state: State, own: State) -> None:
    used = [name for name in own if name.split(".")[0] not in UNUSED_PARTS]
    missing = [name for name in used if name not in state]
    if missing:
        raise EncoderError(f"missing is {_few(missing)}")
    wrong = [name for name in used if state[name].shape != own[name].shape]
    if wrong:
        first = wrong[0]
        raise EncoderError(
            f"{_few(wrong)} of another shape, such as {tuple(state[first].shape)}, expected {tuple(own[first].shape)}"
        )
    surplus = [name for name in state if name.split(".")[0] in OWN_PARTS and name not in own]
    if surplus:
        raise EncoderError(f"it holds more than this encoder has: {_few(surplus)}")


def _few(names: list[str]) -> str:
    """The first names of a list, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
