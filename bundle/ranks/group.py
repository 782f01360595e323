"""The group of processes that share one run: its start, its end, and who is who."""

from __future__ import annotations

import os
from datetime import timedelta

import torch
import torch.distributed as dist

from bundle.records.errors import ConfigError

#: How long one rank waits for the others. A share of a large data set can be done hours before the next; a rank that
#: died is not noticed by this, but by the launcher, which ends all others.
PATIENCE = timedelta(days=7)


def start_ranks() -> None:
    """Join the group that the launcher (``torchrun``) has described; ``initialize`` of the overlays calls this.

    The ranks speak through NCCL where there is CUDA, each with the accelerator of its local number, else through Gloo.

    Raises:
        ConfigError: when the process was not started by a launcher, or there are fewer accelerators than ranks.
    """
    if dist.is_initialized():
        return
    missing = [name for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR") if name not in os.environ]
    if missing:
        raise ConfigError(
            f"the overlay for several devices was given, but the environment has no {', '.join(missing)}: start with "
            "torchrun --nproc_per_node=N -m monai.bundle run ..., or leave the overlay out."
        )
    cuda = torch.cuda.is_available()
    if cuda:
        if _local_rank() >= torch.cuda.device_count():
            raise ConfigError(
                f"rank {_local_rank()} of this machine has no accelerator, there are {torch.cuda.device_count()}: "
                "start as many ranks, or hide them all with CUDA_VISIBLE_DEVICES= to run on the processor."
            )
        torch.cuda.set_device(_local_rank())
    dist.init_process_group("nccl" if cuda else "gloo", timeout=PATIENCE)


def end_ranks() -> None:
    """Leave the group; nothing happens where there is none."""
    if dist.is_initialized():
        dist.destroy_process_group()


def refuse_uninvited_ranks() -> None:
    """Refuse to let several processes do the same work and write the same files.

    Raises:
        ConfigError: when ``torchrun`` started several processes, but the overlay that makes them a group is missing.
    """
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started > 1 and dist.is_torchelastic_launched() and not dist.is_initialized():
        raise ConfigError(
            f"torchrun started {started} processes, but the configuration is for one: add the overlay "
            "configs/multi_gpu_inference.json, multi_gpu_evaluate.json or multi_gpu_train.json."
        )


def rank_device() -> torch.device:
    """The device of this rank: the accelerator of its local number, or the processor where there is no CUDA."""
    return torch.device("cuda", _local_rank()) if torch.cuda.is_available() else torch.device("cpu")


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def ranks() -> int:
    """How many processes share the run."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this process is the one that speaks and writes for all."""
    return rank() == 0


def _local_rank() -> int:
    return int(os.environ.get("LOCAL_RANK", "0"))
