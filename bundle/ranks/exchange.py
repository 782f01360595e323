"""What ranks tell each other. Every rank must come to each of these calls, whether it has something to say or not."""

from __future__ import annotations

from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from bundle.ranks.group import is_first, ranks

Said = TypeVar("Said")


def of_all(own: Said) -> list[Said]:
    """What each rank has, in the order of the ranks.

    Unlike MONAI's ``evenly_divisible_all_gather``, a rank may have nothing (None) and need not know the others' shape.

    Args:
        own: anything that can be pickled; tensors best on the processor.
    """
    if ranks() == 1:
        return [own]
    gathered: list[Said] = [own] * ranks()
    dist.all_gather_object(gathered, own)
    return gathered


def from_first(own: Said) -> Said:
    """What rank 0 has; what the others give is dropped."""
    if ranks() == 1:
        return own
    said = [own if is_first() else None]
    dist.broadcast_object_list(said, src=0)
    return said[0]  # type: ignore[return-value]


def sum_over_ranks(own: Tensor) -> Tensor:
    """The sum of a tensor that has the same shape on all ranks, the same to the last bit on all of them."""
    if ranks() > 1:
        own = own.clone()
        dist.all_reduce(own)
    return own


def barrier() -> None:
    """Wait until all ranks are here."""
    if ranks() == 1:
        return
    if dist.get_backend() == "nccl":
        dist.barrier(device_ids=[torch.cuda.current_device()])
    else:
        dist.barrier()
