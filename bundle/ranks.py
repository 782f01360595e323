"""Ranks: the processes that share one run, by :mod:`ignite.distributed`. A run without others is rank 0 of one."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any, TypeVar

import ignite.distributed as idist
import torch
from torch.distributed import is_torchelastic_launched

from bundle.errors import ConfigError

Item = TypeVar("Item")

#: How long one rank waits for the others. A share of a large data set can be done hours before the next; a rank that
#: died is not noticed by this, but by the launcher, which ends all others.
PATIENCE = timedelta(days=7)


def start_ranks() -> None:
    """Join the group that the launcher (``torchrun``) has described; ``initialize`` of the overlays calls this.

    The ranks speak through NCCL where there is CUDA, each with the GPU of its local number, else through Gloo.

    Raises:
        ConfigError: when the process was not started by a launcher, or there are fewer GPUs than ranks.
    """
    if idist.backend() is not None:
        return
    missing = [name for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR") if name not in os.environ]
    if missing:
        raise ConfigError(
            f"the overlay for several devices was given, but the environment has no {', '.join(missing)}: start with "
            "torchrun --nproc_per_node=N -m monai.bundle run ..., or leave the overlay out."
        )
    cuda, local = torch.cuda.is_available(), int(os.environ["LOCAL_RANK"])
    if cuda and local >= torch.cuda.device_count():
        raise ConfigError(
            f"rank {local} of this machine has no GPU, there are {torch.cuda.device_count()}: start as many ranks, or "
            "hide them all with CUDA_VISIBLE_DEVICES= to run on the CPU."
        )
    idist.initialize("nccl" if cuda else "gloo", timeout=PATIENCE)


def refuse_uninvited_ranks() -> None:
    """Refuse to let several processes do the same work and write the same files.

    Raises:
        ConfigError: when ``torchrun`` started several processes, but the overlay that makes them a group is missing.
    """
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started > 1 and is_torchelastic_launched() and idist.backend() is None:
        raise ConfigError(
            f"torchrun started {started} processes, but the configuration is for one: add the overlay "
            "configs/multi_gpu_inference.json, multi_gpu_evaluate.json or multi_gpu_train.json."
        )


def is_first() -> bool:
    """Whether this process is the one that speaks and writes for all."""
    return idist.get_rank() == 0


def of_all(own: Item) -> list[Item]:
    """What each rank has, anything that can be pickled, in the order of the ranks; every rank has to come here."""
    gathered: Any = idist.all_gather((own,))  # a tuple, for ignite makes tensors of numbers and texts
    return [item for (item,) in gathered]


def from_first(own: Item) -> Item:
    """What rank 0 has; what the others give is dropped. Every rank has to come here."""
    return of_all(own if is_first() else None)[0]  # type: ignore[return-value]


def equal_share(count: int) -> list[int]:
    """Numbers below ``count`` that belong to this rank: every rank has as many, so up to ``ranks - 1`` are left out."""
    ranks = idist.get_world_size()
    return list(range(idist.get_rank(), count - count % ranks, ranks))


def batch_share(batch_size: int) -> int:
    """How much of a batch is this rank's, so that all ranks together have the batch that one process would have.

    Where the ranks do not divide it, it is rounded up, and rank 0 says so.
    """
    ranks = idist.get_world_size()
    share = -(-batch_size // ranks)
    if share * ranks != batch_size and is_first():
        print(f"batch_size {batch_size} over {ranks} ranks: {share} each, {share * ranks} together")
    return share
