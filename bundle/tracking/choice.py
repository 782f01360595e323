"""Which logs a configuration asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bundle.errors import ConfigError

#: The logs that there are.
LOGS = ("tensorboard", "mlflow")


def read_tracking(tracking: Any) -> tuple[str, ...]:
    """The logs that the key ``tracking`` of a configuration names.

    Args:
        tracking: None, one of :data:`LOGS`, or a list of them.

    Raises:
        ConfigError: when it is something else.
    """
    several = (tracking,) if isinstance(tracking, str) else tracking
    if several is None:
        return ()
    if not isinstance(several, Sequence) or any(name not in LOGS for name in several):
        raise ConfigError(
            f"tracking is {tracking!r}, expected null, {' or '.join(map(repr, LOGS))}, or a list of them."
        )
    return tuple(dict.fromkeys(several))
