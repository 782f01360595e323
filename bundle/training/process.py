"""What a training does to its process before it begins."""

from typing import Any

from monai.utils import set_determinism

from bundle.errors import ConfigError


def fix_seed(seed: Any) -> None:
    """Let everything that is drawn be drawn alike each time.

    Raises:
        ConfigError: when the seed is no whole number from 0 to 2^32 - 1.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ConfigError(f"seed is {seed!r}, expected a whole number from 0 to 4294967295, such as --seed 0.")
    set_determinism(seed=seed)
