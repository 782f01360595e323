"""Which logs a configuration asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bundle.records.errors import ConfigError

#: The logs that there are.
LOGS = ("tensorboard", "mlflow")


def read_log_names(log_to: Any) -> tuple[str, ...]:
    """The logs that the key ``log_to`` of a configuration names.

    Args:
        log_to: None, one of :data:`LOGS`, or a list of them.

    Raises:
        ConfigError: when it is something else.
    """
    several = (log_to,) if isinstance(log_to, str) else log_to
    if several is None:
        return ()
    if not isinstance(several, Sequence) or any(name not in LOGS for name in several):
        raise ConfigError(f"log_to is {log_to!r}, expected null, {' or '.join(map(repr, LOGS))}, or a list of them.")
    return tuple(dict.fromkeys(several))
