"""How a training begins, and a folder for each: a killed one is continued, and no other one by mistake."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from monai.utils import set_determinism
from torch import Tensor

from bundle.data.journal import run_fingerprint
from bundle.errors import ConfigError
from bundle.matching.settings import MatchingSettings
from bundle.model import Model
from bundle.networks import OneShotNetwork
from bundle.ranks import is_first, refuse_uninvited_ranks
from bundle.records.radiograph import Template
from bundle.writers.files import atomic_file


def fix_seed(seed: Any) -> None:
    """Let everything that is drawn be drawn alike each time.

    Raises:
        ConfigError: when the seed is no whole number from 0 to 2^32 - 1.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ConfigError(f"seed is {seed!r}, expected a whole number from 0 to 4294967295, such as --seed 0.")
    set_determinism(seed=seed)


def run_folder(root: str | Path, template: Template, network: OneShotNetwork) -> str:
    """The folder of the training that the configuration in use describes.

    Args:
        root: where the folders of all trainings are.
        template: the annotated image.
        network: the network as it is before the training.

    Returns:
        path of the folder, whose name is a fingerprint of all that the training depends on: configuration, template,
        encoder, version and number of ranks. It need not exist yet.

    Raises:
        ConfigError: when several processes were started without the overlay that makes them a group.
    """
    refuse_uninvited_ranks()
    begun = Model(network, template, MatchingSettings(), trained=False).fingerprint
    name = run_fingerprint(model=begun, ranks=idist.get_world_size())
    return str(Path(root) / name[:12])


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


def forget_run(folder: str | Path) -> None:
    """Remove what only a training that is not yet complete needs, and folders without logs. Rank 0 does it for all.

    Args:
        folder: the folder of the training.
    """
    idist.barrier()  # until nobody needs them
    if is_first():
        for path in sorted([Path(folder), *Path(folder).rglob("*")], reverse=True):  # what is in a folder before it
            if path.suffix in (".pt", ".tmp"):
                path.unlink(missing_ok=True)
            elif path.is_dir() and not any(path.iterdir()):
                path.rmdir()
