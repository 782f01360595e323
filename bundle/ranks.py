"""Ranks: the processes that share one run, by :mod:`ignite.distributed`. A run without others is rank 0 of one."""

import atexit
import gc
import os
import shutil
import signal
import sys
import tempfile
import time
from datetime import timedelta
from typing import Any, TypeVar

import ignite.distributed as idist
import torch
from torch.distributed import init_process_group, is_torchelastic_launched

from bundle.errors import BundleError, ConfigError
from bundle.records.console import end_command

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
    speak = sys.excepthook
    idist.initialize("nccl" if cuda else "gloo", timeout=PATIENCE)
    sys.excepthook = speak  # PyTorch's loses what ours says


def fork_ranks(processes: int) -> None:
    """Go on as several ranks on the CPU of this machine, which have in common what is imported.

    It comes before any tensor operation, for no thread outlives a fork. The ranks have equal shares of the threads.

    Args:
        processes: how many ranks; 1 changes nothing.

    Raises:
        ConfigError: when that is no number of processes, or the system cannot fork.
        BundleError: when a rank was killed.
        SystemExit: in the process that has forked, when all ranks have ended, with their status.
    """
    if processes == 1:
        return
    if not isinstance(processes, int) or processes < 1:
        raise ConfigError(f"processes is {processes!r}, expected a whole number from 1 on.")
    if not hasattr(os, "fork"):
        raise ConfigError("processes has to be 1 on this system, for it cannot fork: start torchrun instead.")
    sys.stdout.flush()
    gc.freeze()  # a collection would write to what the processes have in common, and so copy it
    atexit.register(gc.unfreeze)  # or nanobind reports all of Triton's objects as leaks at the end
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # until all are there
    folder, ranks = tempfile.mkdtemp(), set()
    for rank in range(processes):
        process = os.fork()
        if not process:
            _join(rank, processes, f"file://{folder}/ranks")
            return
        ranks.add(process)
    try:
        status = _first_failure(ranks)
    finally:
        shutil.rmtree(folder)
    end_command(status)
    raise SystemExit(status)


def _join(rank: int, ranks: int, store: str) -> None:
    """Become one of the ranks of this machine."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the process that has forked, too, and it ends all
    torch.set_num_threads(max(1, torch.get_num_threads() // ranks))
    os.environ.pop("SLURM_JOB_ID", None)  # with it, ignite takes the ranks that Slurm has started, but it started one
    idist.set_local_rank(rank)
    speak = sys.excepthook
    init_process_group("gloo", timeout=PATIENCE, init_method=store, rank=rank, world_size=ranks)

    def speak_after_the_first(*error: Any) -> None:
        """What all ranks meet, rank 0 says, and is then the first failure, which ends the others."""
        time.sleep(5.0 if rank else 0.0)
        speak(*error)

    sys.excepthook = speak_after_the_first  # in place of PyTorch's, which loses what ours says


def _first_failure(ranks: set[int]) -> int:
    """Wait for processes; the exit status of the first that fails, which ends the others, or else 0."""
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        while ranks:
            process, ended = os.wait()
            ranks.discard(process)
            status = os.waitstatus_to_exitcode(ended)
            if status < 0:
                raise BundleError(
                    f"one of the processes was ended by signal {-status}: start the same command again for the rest, "
                    "with fewer processes if the memory was short."
                )
            if status:
                return status
        return 0
    finally:
        for process in ranks:
            os.kill(process, signal.SIGTERM)
            os.waitpid(process, 0)


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
