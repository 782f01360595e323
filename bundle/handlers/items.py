"""The items of an engine's iteration."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ignite.engine import Engine


def decollated_items(engine: Engine) -> Iterator[dict[str, Any]]:
    """What went into a decollating engine and what came out, together, one image at a time."""
    batch: Any = engine.state.batch
    output: Any = engine.state.output
    for inputs, outputs in zip(batch, output):
        yield {**inputs, **outputs}
