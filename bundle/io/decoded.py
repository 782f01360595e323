"""What the reader of each format returns, before the grey values are brought to 0..1, and what counts as grey."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from bundle.records.radiograph import identity_pixel_to_lps

_SAMPLES = 2**18
_TOLERANCE = 24 / 255  # difference of channels, as a share of the full range, that JPEG noise can cause
_COLOURED_SHARE = 0.01  # a coloured mark or caption may cover this share of the image


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


def is_grey(channels: np.ndarray, full_range: float, neutral: tuple[int, ...] = ()) -> bool:
    """Whether three channels hold no more colour than compression noise and small marks.

    At most one pixel in a hundred, counted on a regular grid, may be coloured. Coloured means that the red, green and
    blue values differ by more than 24/255 of the full range.

    Args:
        channels: array of shape (H, W, 3), red, green and blue; with ``neutral``, luminance and two chroma channels.
        full_range: the largest value that the type of file can hold, such as 255.
        neutral: indices of the chroma channels, which are grey at half the full range.
    """
    step = max(1, math.ceil(math.sqrt(channels.shape[0] * channels.shape[1] / _SAMPLES)))
    sample = channels[::step, ::step].astype(np.float64)
    spread = np.ptp(sample, axis=-1)
    if neutral:
        spread = 2 * np.abs(sample[..., list(neutral)] - (full_range + 1) / 2).max(axis=-1)
    return bool(np.mean(spread > _TOLERANCE * full_range) <= _COLOURED_SHARE)
