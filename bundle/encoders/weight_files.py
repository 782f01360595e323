"""Files of weights: which file a path means, and what is in it. Nothing in a file is ever executed."""

import argparse
import json
import pickle
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from bundle.errors import CheckpointError, EncoderError

#: What Hugging Face calls the weights in a folder, the first one first.
USUAL_NAMES = ("model.safetensors", "pytorch_model.bin")
SUFFIXES = (".safetensors", ".bin", ".pth", ".pt", ".ckpt")

#: A file, which torch.save does not pack, may unpack to this many bytes, and beyond that to so many times its size.
_UNPACKED_BYTES = 64 * 1024 * 1024
_UNPACKED_TIMES = 2


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


def load_weights_only(path: str | Path, allowed: Sequence[type] = ()) -> Any:
    """The content of a file of ``torch.save``: tensors and plain values, on the CPU.

    Args:
        path: the file.
        allowed: types of values, beside tensors and plain ones, that it may hold.

    Returns:
        The content. Each tensor in it has its numbers in the file: none is a huge view of a few of them.

    Raises:
        CheckpointError: when the file states more than it holds; "it" in the message is the file.
        Exception: what PyTorch raises for a file that is damaged, or holds more than plain values.
    """
    _check_file(Path(path))
    with warnings.catch_warnings(), torch.serialization.safe_globals(list(allowed)):
        warnings.simplefilter("ignore")  # about the protocol of a file that is no pickle at all
        content = torch.load(path, map_location="cpu", weights_only=True)
    for tensor in _tensors(content):
        if (
            tensor.layout is not torch.strided
            or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes()
        ):
            raise CheckpointError(f"it holds a tensor of shape {tuple(tensor.shape)} without as many numbers")
    return content


def _check_file(path: Path) -> None:
    if not zipfile.is_zipfile(path):  # the older format, which packs nothing
        return
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    size = path.stat().st_size
    if unpacked > max(_UNPACKED_BYTES, _UNPACKED_TIMES * size):
        raise CheckpointError(f"it unpacks to {unpacked} bytes, far more than the {size} that it has")


def _tensors(content: Any) -> Iterator[Tensor]:
    if isinstance(content, Tensor):
        yield content
    elif isinstance(content, Mapping | list | tuple | set):
        for value in content.values() if isinstance(content, Mapping) else content:
            yield from _tensors(value)
