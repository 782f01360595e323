"""Files of weights: which file a path means, and what is in it. Nothing in a file is ever executed."""

from __future__ import annotations

import argparse
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from bundle.encoders.weights_only import load_weights_only
from bundle.errors import CheckpointError, EncoderError

#: What Hugging Face calls the weights in a folder, the first one first.
USUAL_NAMES = ("model.safetensors", "pytorch_model.bin")
SUFFIXES = (".safetensors", ".bin", ".pth", ".pt", ".ckpt", ".npz")


def find_weights(path: str | Path) -> Path:
    """The file of weights that a path means.

    Args:
        path: a file, or a folder with ``model.safetensors`` or ``pytorch_model.bin`` (such as a snapshot of a hub), or
            with exactly one file of weights.

    Raises:
        EncoderError: when there is no such file, or more than one.
    """
    path = Path(path)
    if path.is_file():
        return path
    if not path.is_dir():
        raise EncoderError(
            f"encoder_weights is {str(path)!r}: no such file or folder (or say 'hub', 'package' or 'random')."
        )
    for name in USUAL_NAMES:
        if (path / name).is_file():
            return path / name
    found = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file())
    if len(found) == 1:
        return found[0]
    names = ", ".join(file.name for file in found[:5]) or "none"
    raise EncoderError(
        f"the folder {path} holds {len(found)} files of weights ({names}), expected exactly one, or {USUAL_NAMES[0]}: "
        "give the file itself with --encoder_weights FILE."
    )


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file, by name; those in nested dictionaries have dotted names.

    Raises:
        EncoderError: when the file cannot be read without executing what is in it; "it" in the message is the file.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # A training's own checkpoint has its arguments beside the weights: a Namespace, which only holds values.
        content = load_weights_only(path, [argparse.Namespace])
    except CheckpointError as error:
        raise EncoderError(f"it is no file of weights that is opened ({error})") from error
    except Exception as error:  # torch, pickle, zip and safetensors each raise their own
        raise EncoderError(f"it is no file of weights that can be read ({_reason(error)})") from error
    return dict(_flat(content))


def declared_kind(path: Path) -> dict[str, str]:
    """What the ``config.json`` beside a file of weights says about it.

    Returns:
        ``"model_type"`` as Hugging Face's transformers has it, ``"tag"`` of the weights as timm has it; each only
        where the file says so.
    """
    try:
        config = json.loads((path.parent / "config.json").read_text(encoding="utf-8"))
        kinds = {"model_type": config.get("model_type"), "tag": config.get("pretrained_cfg", {}).get("tag")}
    except (OSError, ValueError, AttributeError):
        return {}  # another program's config.json says nothing about weights
    return {key: value for key, value in kinds.items() if isinstance(value, str) and value}


def _flat(content: Any, prefix: str = "") -> list[tuple[str, Tensor]]:
    if isinstance(content, Tensor):
        return [(prefix.removesuffix("."), content)]
    if not isinstance(content, Mapping):
        return []
    return [pair for key, value in content.items() for pair in _flat(value, f"{prefix}{key}.")]


def _reason(error: Exception) -> str:
    text = str(error)
    if "TorchScript" in text or "torch.jit" in text:
        return "it is a TorchScript program: save its state_dict to a file of its own"
    if isinstance(error, pickle.UnpicklingError) and ("Unsupported" in text or "GLOBAL" in text):
        return "it holds objects other than weights: save its state_dict to a file of its own"
    return in_short(error)


def in_short(error: Exception) -> str:
    """The first sentence of an error that a library raised."""
    return str(error).split("\n")[0].split(". ")[0].rstrip(".") or type(error).__name__
