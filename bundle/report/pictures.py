"""Small pictures of a run's images."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def small_jpeg(pixels: np.ndarray, max_side: int = 960, quality: int = 78) -> bytes:
    """A radiograph as a small grey JPEG file.

    Args:
        pixels: (H, W), 0 to 1; what is not finite counts as 0.
        max_side: longest side of the picture in pixels; a smaller image stays as it is.
        quality: of the file, 1 to 95.

    Returns:
        The bytes of the file. The picture fills the image's own frame: it is smaller by the same factor on both axes,
        up to the rounding of its sides.
    """
    grey = np.nan_to_num(np.asarray(pixels, dtype=np.float32), nan=0.0, posinf=1.0, neginf=0.0)
    picture = Image.fromarray((np.clip(grey, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8))
    factor = max_side / max(picture.size)
    if factor < 1:
        size = max(1, round(picture.width * factor)), max(1, round(picture.height * factor))
        picture = picture.resize(size, Image.Resampling.BOX if factor < 0.5 else Image.Resampling.BICUBIC)
    with io.BytesIO() as file:
        picture.save(file, format="JPEG", quality=quality, optimize=True)
        return file.getvalue()
