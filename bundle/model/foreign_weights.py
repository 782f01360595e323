"""Read the weights in a file of ``torch.save`` that another program wrote."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from bundle.encoders.weights_only import load_weights_only
from bundle.records.errors import CheckpointError

#: Keys under which programs put the state of a network, beside what else they save.
WRAPPERS = ("state_dict", "model", "net")

#: What ``DataParallel`` puts before the names.
PARALLEL = "module."


def read_weights(path: str | Path, what: str) -> dict[str, Tensor]:
    """The tensors of a state, bare or under one of :data:`WRAPPERS`; nothing in the file is executed.

    Args:
        path: the file.
        what: what the file should be, for the messages.

    Returns:
        tensors by name, without the prefix ``module.``; entries that are no tensors are left out.

    Raises:
        CheckpointError: when the file is missing, is no file of ``torch.save``, holds more than plain values, or is no
            dictionary.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no file {path}: expected {what}.")
    content = _load(path, what)
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not named tensors: expected {what}.")
    return {str(name).removeprefix(PARALLEL): value for name, value in content.items() if isinstance(value, Tensor)}


def _load(path: Path, what: str) -> Any:
    try:
        return load_weights_only(path)
    except CheckpointError as error:
        raise CheckpointError(f"{path} is not opened, {error}: expected {what}.") from error
    except Exception as error:  # a damaged file can make the unpickler raise anything
        if "GLOBAL" in str(error):  # the unpickler's word for a class or function that it will not run
            raise CheckpointError(
                f"{path} holds Python objects beside weights and is not opened, because that could execute code: "
                f"expected {what}, so save the network's state_dict() alone."
            ) from error
        raise CheckpointError(f"{path} is no file of torch.save, or a damaged one: expected {what}.") from error
