"""Small pictures of a run's images, some of which wait on the disk until the report takes them."""

from __future__ import annotations

import io
from collections.abc import Callable
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


#: Bytes of all pictures of a report together, as JPEG files; in the page they take a third more.
PICTURE_BUDGET = 16_000_000


class PictureStore:
    """Small pictures of the images of a run, in a folder of their own.

    Which images a report shows is known only at the end of a run. The picture of an image is made when it passes, which
    costs milliseconds, until the budget is full: a run of any length leaves no more on the disk. One that is shown and
    is not there is made from its file.

    Args:
        folder: the folder; it is made where it does not exist. All ranks of a run, and a run that goes on after it was
            killed, use one.
        load: gives the pixels of an image, (H, W), 0 to 1, by its id; None where it cannot be read any more.
        budget: bytes of all pictures together that are kept as they pass.
    """

    def __init__(
        self, folder: Path | str, load: Callable[[str], np.ndarray | None], budget: int = PICTURE_BUDGET
    ) -> None:
        self.folder = Path(folder)
        self.load = load
        self._left = budget - sum(path.stat().st_size for path in self.folder.glob("*.jpg"))

    def add(self, image_id: str, pixels: np.ndarray) -> None:
        """Keep the picture of an image, where the budget allows.

        Args:
            image_id: the image's id within the run.
            pixels: (H, W), 0 to 1.

        Raises:
            BundleError: when the file cannot be written.
        """
        if self._left > 0:
            self._left -= len(self._keep(image_id, pixels))

    def read(self, image_id: str) -> bytes | None:
        """An image's picture as a JPEG file; None where the image cannot be read any more.

        Raises:
            BundleError: when a picture that is made anew cannot be written.
        """
        try:
            return output_path(self.folder, image_id, ".jpg").read_bytes()
        except OSError:
            pixels = self.load(image_id)
            return None if pixels is None else self._keep(image_id, pixels)

    def _keep(self, image_id: str, pixels: np.ndarray) -> bytes:
        picture = small_jpeg(pixels)
        with atomic_file(output_path(self.folder, image_id, ".jpg"), binary=True) as file:
            file.write(picture)
        return picture
