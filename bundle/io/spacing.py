"""The pixel spacing that the user gives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bundle.records.errors import ConfigError


def positive_pair(values: Sequence[Any]) -> tuple[float, float] | None:
    """Two positive finite numbers, or None where they are not such a pair.

    Args:
        values: anything; what a file holds in the place of its pixel spacing.

    Returns:
        The pair in the same order, or None.
    """
    try:
        first, second = (float(value) for value in values)
    except (TypeError, ValueError):
        return None
    if math.isfinite(first) and math.isfinite(second) and first > 0 and second > 0:
        return first, second
    return None


def parse_spacing(spacing: float | Sequence[float] | None) -> tuple[float, float] | None:
    """Validate a pixel spacing from the configuration or the data list.

    Args:
        spacing: millimetres a pixel, as one number for square pixels or as ``(x, y)`` = (between columns, between
            rows); None leaves it to the image file.

    Returns:
        ``(x, y)`` in mm, or None.

    Raises:
        ConfigError: when it is not one or two positive finite numbers.
    """
    if spacing is None:
        return None
    values: Any = spacing
    if isinstance(values, (str, bytes, bool)):
        pair = None
    else:
        try:
            pair = positive_pair(list(values))
        except TypeError:  # one number
            pair = positive_pair([values, values])
    if pair is None:
        raise ConfigError(
            f"the pixel spacing is {spacing!r}, but one positive number or (x, y) in mm a pixel is needed: "
            "correct it, or leave it out to use what the image file says."
        )
    return pair
