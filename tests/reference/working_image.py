"""Step 1: the image at the size at which the encoder sees it (paper, section 2.1, "short side of 224")."""

import numpy as np
from PIL import Image


def short_side_size(height: int, width: int, side: int) -> tuple[int, int]:
    """(height, width) when the short side is ``side`` pixels; the long side follows and is cut to whole pixels."""
    if height <= width:
        return side, int(side * width / height)
    return int(side * height / width), side


def working_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image of 8 bits given as 0 to 1, (H, W), opened as colour and resized by Pillow; one channel, 0 to 1."""
    if image.shape == tuple(size):
        return image
    grey = np.round(image * 255).astype(np.uint8)
    height, width = size
    colour = Image.fromarray(grey).convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(colour)[..., 0] / image.dtype.type(255)
