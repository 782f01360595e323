"""The landmarks of all images of a run as one CSV table."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from bundle.records.errors import BundleError
from bundle.records.prediction import LandmarkPrediction
from bundle.writers.atomic import atomic_file
from bundle.writers.naming import printable, spreadsheet_safe


class LandmarkTableWriter:
    """Writes the landmarks of a run as ``landmarks.csv``: ``image,x1,y1,x2,y2,...``, a row for each image.

    The header is numbered whatever the landmarks are called: landmark number i of the template is ``xi,yi``. The table
    can be read as landmarks of a template or as true landmarks.

    Args:
        folder: the folder of the results.
        name: the file's name.
        decimals: decimals of a pixel.
    """

    def __init__(self, folder: Path | str, name: str = "landmarks.csv", decimals: int = 3) -> None:
        self.path = Path(folder) / name
        self.decimals = decimals
        self._added: list[list[str]] = []
        self._images: set[str] = set()
        self._count: int | None = None

    def __len__(self) -> int:
        return len(self._images)

    def add(self, prediction: LandmarkPrediction) -> None:
        """Put an image at the end of the table.

        Args:
            prediction: its landmarks; one without coordinates becomes two empty cells.

        Raises:
            BundleError: see :meth:`add_points`.
        """
        self.add_points(prediction.image_id, prediction.points)

    def add_points(self, image_id: str, points: np.ndarray) -> None:
        """Put an image at the end of the table.

        Args:
            image_id: its name.
            points: (N, 2), pixels ``(x, y)``; a point that is not finite becomes two empty cells.

        Raises:
            BundleError: when the image is in the table already, or has another number of landmarks than the first.
        """
        self._added.append(self._row(image_id, points))

    def _row(self, image_id: str, points: np.ndarray) -> list[str]:
        """The cells of one image."""
        image = spreadsheet_safe(printable(image_id))
        if image in self._images:
            raise BundleError(f"the image id {image_id!r} occurs twice: give every image an id of its own.")
        count = len(points)
        if self._count not in (None, count):
            raise BundleError(
                f"the image {image_id} has {count} landmarks, but the images before it have {self._count}: "
                "find all landmarks of a table with one template."
            )
        self._count = count
        self._images.add(image)
        return [image, *(self._cell(value) for point in points for value in point)]

    def _cell(self, value: float) -> str:
        """A coordinate as text, empty where it is not finite."""
        return f"{round(float(value), self.decimals) + 0.0:.{self.decimals}f}" if np.isfinite(value) else ""

    def write(self, more: Iterable[tuple[str, np.ndarray]] = ()) -> Path:
        """Write the table, in the order in which the images came.

        Args:
            more: images after those that were added, as id and points (see :meth:`add_points`); they are written as
                they come, so that a long table takes no memory.

        Returns:
            The file.

        Raises:
            BundleError: when the file cannot be written, or an image cannot be in the table.
        """
        with atomic_file(self.path) as file:
            writer = csv.writer(file, lineterminator="\n")
            rows = itertools.chain(self._added, itertools.starmap(self._row, more))
            first = list(itertools.islice(rows, 1))  # it says how many landmarks there are
            writer.writerow(["image", *(f"{axis}{i}" for i in range(1, (self._count or 0) + 1) for axis in "xy")])
            writer.writerows(first)
            writer.writerows(rows)
        return self.path
