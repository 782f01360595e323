"""The pixel spacing that the user gives."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

from bundle.errors import ConfigError


def positive_pair(values: Any) -> tuple[float, float] | None:
    """Two positive finite numbers, or None where they are not such a pair.

    Args:
        values: anything; what a file holds in the place of its pixel spacing.

    Returns:
        The pair in the same order, or None.
    """
    if isinstance(values, (str, bytes)):
        return None
    try:
        first, second = (float(value) for value in values)
    except (TypeError, ValueError, OverflowError):
        return None
    if math.isfinite(first) and math.isfinite(second) and first > 0 and second > 0:
        return first, second
    return None


def stated_spacing(pair: Any, mm: float = 1.0) -> tuple[float, float] | None:
    """The pixel spacing that a file states, unless it is what writers fill in where nothing is known.

    Converters write 1 x 1, for instance when a PNG becomes a NIfTI or a DICOM file, and no detector has pixels of 1 mm.
    So 1 x 1 counts as unknown, like zero, negative and non-finite numbers; a user who means 1 mm says so in the
    configuration.

    Args:
        pair: ``(x, y)`` as the file has it, in a unit of its own; anything.
        mm: millimetres of that unit.

    Returns:
        ``(x, y)`` in mm, or None.
    """
    found = positive_pair(pair)
    return None if found is None or found == (1.0, 1.0) else (found[0] * mm, found[1] * mm)


def parse_spacing(spacing: float | Sequence[float] | None) -> tuple[float, float] | None:
    """Validate a pixel spacing from the configuration or the data list.

    Args:
        spacing: millimetres per pixel, as one number (also in a list of its own) for square pixels or as ``(x, y)`` =
            (between columns, between rows); None leaves it to the image file.

    Returns:
        ``(x, y)`` in mm, or None.

    Raises:
        ConfigError: when it is not one or two positive finite numbers.
    """
    if spacing is None:
        return None
    one_number = isinstance(spacing, numbers.Real) and not isinstance(spacing, bool)
    given: Any = [spacing] if one_number else spacing
    pair = positive_pair(given * 2 if isinstance(given, list) and len(given) == 1 else given)
    if pair is None:
        raise ConfigError(
            f"the pixel spacing is {spacing!r}, but one positive number or (x, y) in mm per pixel is needed: "
            "correct it, or leave it out to use what the image file says."
        )
    return pair
