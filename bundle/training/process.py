"""What a training does to its process before it begins."""

from __future__ import annotations

import ctypes
from typing import Any

from monai.utils import set_determinism

from bundle.errors import ConfigError

#: Numbers of glibc's ``mallopt``, from ``malloc.h``.
_TRIM_THRESHOLD = -1
_MMAP_MAX = -4
_NEVER = -1  # beyond every size; the largest number that fits is two gigabytes, less than a step frees


def fix_seed(seed: Any) -> None:
    """Let everything that is drawn be drawn alike each time.

    Raises:
        ConfigError: when the seed is no whole number from 0 to 2^32 - 1.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ConfigError(f"seed is {seed!r}, expected a whole number from 0 to 4294967295, such as --seed 0.")
    set_determinism(seed=seed)


def reuse_memory() -> bool:
    """Tell the C library to keep what a step frees: every step needs the same large maps again.

    By default glibc gets each of them from the system anew, which clears it page by page; that was a fifth of a
    training step on a CPU. The process is larger for it until it ends.

    Returns:
        whether the C library knows these settings; others than glibc do without.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS, musl, Windows
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, _NEVER))
