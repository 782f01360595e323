"""Results of a training's steps, kept in files until it is complete, so that a killed one goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from bundle.writers.atomic import atomic_file


def kept(path: Path, compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """What an earlier run left in a file or, where there is none or a damaged one, what is computed and left there.

    Args:
        path: the file, in a folder whose name is the fingerprint of all that the result depends on.
        compute: makes the result: named tensors.
    """
    if path.is_file():
        try:
            return torch.load(path, weights_only=True, mmap=True)
        except Exception:  # a damaged file can make the unpickler raise anything
            path.unlink(missing_ok=True)
    result = compute()
    with atomic_file(path, binary=True) as file:
        torch.save({name: value.detach().cpu() for name, value in result.items()}, file)
    return result
