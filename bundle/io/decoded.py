"""What the reader of each format returns, before the grey values are brought to 0..1."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from bundle.records.radiograph import identity_pixel_to_lps


@dataclass(frozen=True)
class DecodedImage:
    """The grey values and the geometry of one file.

    Attributes:
        values: array of shape (H, W), any integer or real type, rows = image rows.
        ignored: boolean array of shape (H, W), True where a pixel holds no measurement (padding) or is hidden by a
            shutter, or None.
        white_is_zero: whether the file says that low values are shown bright (``MONOCHROME1`` or "white is zero").
        spacing: millimetres per pixel as ``(x, y)``, or None where the file does not say.
        spacing_source: the rule that gave the spacing, or None.
        aspect: height of a pixel over its width where the spacing is unknown.
        pixel_to_lps: array of shape (3, 3), see :class:`bundle.records.radiograph.Radiograph`.
        laterality: see :class:`bundle.records.radiograph.Radiograph`.
        rows_towards: see :class:`bundle.records.radiograph.Radiograph`.
    """

    values: np.ndarray
    ignored: np.ndarray | None = None
    white_is_zero: bool = False
    spacing: tuple[float, float] | None = None
    spacing_source: str | None = None
    aspect: float = 1.0
    pixel_to_lps: np.ndarray = field(default_factory=identity_pixel_to_lps)
    laterality: str | None = None
    rows_towards: str | None = None
