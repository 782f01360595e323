"""Memory for crops: how many go through the network together, where regions are kept, what is given back."""

import ctypes
import tempfile
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

#: GB on a CPU, where crops gain nothing from each other's company and a file is as good as memory.
_CPU_GB = 0.1

#: Numbers of glibc's ``mallopt``, from ``malloc.h``.
_TRIM_THRESHOLD = -1
_MMAP_MAX = -4
_NEVER = -1  # beyond every size; the largest number that fits is two gigabytes, less than a step frees

#: Share of a GPU's free memory.
_GPU_SHARE = 0.25


def memory_budget_gb(device: torch.device, memory_gb: float | None = None) -> float:
    """Memory for crops in GB.

    Args:
        device: where the network is.
        memory_gb: what the user gave; None for a little on a CPU and a quarter of what is free on a GPU.
    """
    if memory_gb is not None:
        return memory_gb
    return torch.cuda.mem_get_info(device)[0] / 1e9 * _GPU_SHARE if device.type == "cuda" else _CPU_GB


def crops_at_a_time(numbers: int, device: torch.device, memory_gb: float | None = None) -> int:
    """The largest batch of crops that fits into a budget of memory; at least one.

    Args:
        numbers: how many numbers of single precision one crop takes up on its way through the network.
        device: where the network is.
        memory_gb: see :func:`memory_budget_gb`.
    """
    return max(1, int(memory_budget_gb(device, memory_gb) * 1e9 / (4 * numbers)))


def reuse_memory() -> bool:
    """Tell the C library to keep what is freed: every image, and every step of a training, needs the same maps again.

    By default glibc gets each of them from the system anew, which clears it page by page; that was a fifth of a
    training step on a CPU, and a tenth of an inference. The process keeps its largest size until it ends.

    Returns:
        whether the C library knows these settings; others than glibc do without.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS, musl, Windows
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, _NEVER))


def hand_back_freed_memory(device: torch.device) -> bool:
    """Tell the C library to give the system what was freed.

    The encoder takes and frees many tensors of some megabytes, which glibc keeps for the next of their kind. The
    decoders' maps are larger than what it keeps, so without this the peak of the memory is the sum of both.

    Args:
        device: where the network is; on a GPU nothing is done.

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


class Region(NamedTuple):
    """A crop around one point of an image.

    Attributes:
        features: (C, h, w), fused features of length one.
        origin: (2,), pixel ``(x, y)`` of the image at the crop's first pixel.
    """

    features: Tensor
    origin: Tensor


def keep_regions(regions: Iterable[tuple[int, Region]], memory_gb: float) -> dict[int, Region]:
    """Regions by number, on their device or mapped to temporary files.

    One region of the paper's preset is a map of 256 x 224 x 224 numbers, 51 MB, and a landmark needs its own. The first
    ones stay in memory; where the next would exceed the budget, it and all later ones are mapped to temporary files,
    which the system removes with the process. Reading one back costs a small part of decoding a crop.

    Args:
        regions: the regions with their numbers.
        memory_gb: budget in GB.
    """
    found, left = {}, memory_gb * 1e9
    for index, region in regions:
        left -= region.features.nbytes
        found[index] = region if left >= 0 else Region(_mapped(region.features), region.origin)
        del region  # while the next one is made
    return found


def _mapped(features: Tensor) -> Tensor:
    """The same numbers in a file, (C, h, w), which only become memory where they are read; channels last."""
    values = features.permute(1, 2, 0).cpu().contiguous().numpy()
    with tempfile.TemporaryFile(prefix="one-shot-landmarks-") as file:
        values.tofile(file)
        file.flush()
        return torch.from_numpy(np.memmap(file, values.dtype, "c", shape=values.shape)).permute(2, 0, 1)
