"""How long work shows where it is."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


class _Lines:
    """Takes what tqdm draws, and writes it as lines without control characters."""

    def write(self, text: str) -> None:
        """Write what is more than space and a way back to the line's start."""
        if text := text.strip("\r\n "):
            print(text, file=sys.stderr, flush=True)

    def flush(self) -> None:
        """Every line is written at once."""


def progress(iterable: Iterable | None = None, **settings: Any) -> tqdm:
    """Progress on standard error: a bar on a terminal; in a pipe a line at the start, each minute, and at the end.

    Args:
        iterable: what is gone through; None where the caller updates what is shown.
        settings: as for ``tqdm``: ``total``, ``initial``, ``desc``, ``unit``, ``disable``.
    """
    if sys.stderr.isatty():
        return tqdm(iterable, dynamic_ncols=True, **settings)
    settings["bar_format"] = "{desc}: {n_fmt}/{total_fmt} {unit} [{elapsed}<{remaining}{postfix}]"
    # Position 0, or tqdm would move the cursor up to a bar of work that this one is part of.
    return tqdm(iterable, file=_Lines(), mininterval=60, maxinterval=60, position=0, **settings)
