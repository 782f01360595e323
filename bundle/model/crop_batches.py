"""How many crops go through the network together."""

from __future__ import annotations

import torch

#: GB on a processor, where crops gain nothing from each other's company and a file is as good as memory.
_PROCESSOR_GB = 0.1

#: Share of an accelerator's free memory.
_ACCELERATOR_SHARE = 0.25


def memory_budget_gb(device: torch.device, memory_gb: float | None = None) -> float:
    """Memory for crops in GB.

    Args:
        device: where the network is.
        memory_gb: what the user gave; None for a little on a processor and a quarter of what is free on an accelerator.
    """
    if memory_gb is None:
        if device.type == "cuda":
            return torch.cuda.mem_get_info(device)[0] / 1e9 * _ACCELERATOR_SHARE
        return _PROCESSOR_GB
    return float(memory_gb)


def crops_at_a_time(numbers: int, device: torch.device, memory_gb: float | None = None) -> int:
    """The largest batch of crops that fits into a budget of memory; at least one.

    Args:
        numbers: how many numbers of single precision one crop takes up on its way through the network.
        device: where the network is.
        memory_gb: see :func:`memory_budget_gb`.
    """
    return max(1, int(memory_budget_gb(device, memory_gb) * 1e9 / (4 * numbers)))
