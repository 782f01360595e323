"""Hand freed memory back to the system before much more is needed."""

from __future__ import annotations

import ctypes

import torch


def hand_back_freed_memory(device: torch.device) -> bool:
    """Tell the C library to give the system what was freed.

    The encoder takes and frees many tensors of some megabytes, which glibc keeps for the next of their kind. The
    decoders' maps are larger than what it keeps, so without this the peak of the memory is the sum of both.

    Args:
        device: where the network is; on an accelerator nothing is done.

    Returns:
        whether memory was handed back; C libraries other than glibc do without.
    """
    if device.type != "cpu":
        return False
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # macOS, musl, Windows
        return False
    return bool(trim(0))
