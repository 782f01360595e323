"""Grey images that are stored with three colour channels."""

from __future__ import annotations

import math

import numpy as np

_SAMPLES = 2**18
_TOLERANCE = 24 / 255  # difference of channels, as a share of the full range, that JPEG noise can cause
_COLOURED_SHARE = 0.01  # a coloured mark or caption may cover this share of the image


def is_grey(channels: np.ndarray, full_range: float, neutral: tuple[int, ...] = ()) -> bool:
    """Whether three channels hold no more colour than compression noise and small marks.

    At most one pixel in a hundred, counted on a regular grid, may be coloured. Coloured means that the red, green and
    blue values differ by more than 24/255 of the full range.

    Args:
        channels: array of shape (H, W, 3), red, green and blue; with ``neutral``, luminance and two chroma channels.
        full_range: the largest value that the type of file can hold, such as 255.
        neutral: indices of the chroma channels, which are grey at half the full range.

    Returns:
        True for a grey image.
    """
    step = max(1, math.ceil(math.sqrt(channels.shape[0] * channels.shape[1] / _SAMPLES)))
    sample = channels[::step, ::step].astype(np.float64)
    if neutral:
        spread = 2 * np.abs(sample[..., list(neutral)] - (full_range + 1) / 2).max(axis=-1)
    else:
        spread = sample.max(axis=-1) - sample.min(axis=-1)
    return bool(np.mean(spread > _TOLERANCE * full_range) <= _COLOURED_SHARE)
