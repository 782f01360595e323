"""Opens what ``torch.save`` wrote without executing anything in it, and within bounds of size."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bundle.errors import CheckpointError

#: A file, which torch.save does not pack, may unpack to this many bytes, and beyond that to so many times its size.
_UNPACKED_BYTES = 64 * 1024 * 1024
_UNPACKED_TIMES = 2


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
