"""Step 1: the image at the size at which the encoder sees it (paper, section 2.1, "short side of 224")."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image


def short_side_size(height: int, width: int, side: int) -> tuple[int, int]:
    """(height, width) when the short side is ``side`` pixels; the long side follows and is cut to whole pixels."""
    if height <= width:
        return side, int(side * width / height)
    return int(side * height / width), side


def pillow_lanczos(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize one grey image of floats, (H, W), with Pillow's own LANCZOS."""
    height, width = size
    return np.asarray(Image.fromarray(image.astype(np.float32)).resize((width, height), Image.Resampling.LANCZOS))


def lanczos(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The same in double precision, pixel by pixel: first along x, then along y."""
    height, width = size
    along_x = np.stack([_lanczos_line(row, width) for row in image.astype(np.float64)])
    return np.stack([_lanczos_line(column, height) for column in along_x.T]).T


def _lanczos_line(line: np.ndarray, new: int) -> np.ndarray:
    ratio = len(line) / new
    stretch = max(ratio, 1.0)  # the filter is widened where the line is shortened
    result = np.zeros(new)
    for target in range(new):
        centre = (target + 0.5) * ratio
        total = 0.0
        for source in range(len(line)):
            x = (source + 0.5 - centre) / stretch
            if abs(x) < 3:
                weight = _sinc(x) * _sinc(x / 3)
                result[target] += weight * line[source]
                total += weight
        result[target] /= total
    return result


def _sinc(x: float) -> float:
    return 1.0 if x == 0 else math.sin(math.pi * x) / (math.pi * x)
