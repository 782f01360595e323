"""Small pictures of a run's images, on the disk until the report takes some of them."""

from __future__ import annotations

import contextlib
import io
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from bundle.writers.atomic import atomic_file
from bundle.writers.naming import output_path


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


class PictureStore:
    """A small picture of each image of a run, in a folder of their own.

    Which images a report shows is known only at the end of a run; that a picture is made when its image passes costs
    milliseconds, needs no memory, and shows what the network saw. All ranks of a run, and a run that goes on after it
    was killed, use one folder.

    Args:
        folder: the folder; it is made where it does not exist.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def add(self, image_id: str, pixels: np.ndarray) -> None:
        """Keep the picture of an image.

        Args:
            image_id: the image's id within the run.
            pixels: (H, W), 0 to 1.

        Raises:
            BundleError: when the file cannot be written.
        """
        with atomic_file(output_path(self.folder, image_id, ".jpg"), binary=True) as file:
            file.write(small_jpeg(pixels))

    def size(self, image_id: str) -> int | None:
        """Bytes of an image's picture; None where there is none."""
        try:
            return output_path(self.folder, image_id, ".jpg").stat().st_size
        except OSError:
            return None

    def read(self, image_id: str) -> bytes | None:
        """An image's picture as a JPEG file; None where there is none."""
        try:
            return output_path(self.folder, image_id, ".jpg").read_bytes()
        except OSError:
            return None

    def remove(self) -> None:
        """Remove the folder."""
        with contextlib.suppress(OSError):
            shutil.rmtree(self.folder)
