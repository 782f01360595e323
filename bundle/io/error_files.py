"""Reading ``metrics.csv`` of an evaluation back."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bundle.errors import BundleError
from bundle.io.landmark_files.checks import read_text

_COLUMNS = ("image", "landmark", "error_px", "error_mm")


@dataclass(frozen=True)
class ErrorFile:
    """The errors of an evaluation.

    Attributes:
        path: the file.
        images: M image ids, as the file has them.
        landmarks: N landmark names, as the file has them.
        px: (M, N) errors in pixels; NaN where there is no truth, infinity where a landmark was not found.
        mm: (M, N) errors in mm; NaN where there is no truth or no spacing.
    """

    path: Path
    images: tuple[str, ...]
    landmarks: tuple[str, ...]
    px: np.ndarray
    mm: np.ndarray

    def chosen(self, images: Sequence[str], landmarks: Sequence[str], unit: str) -> np.ndarray:
        """The errors of some images and landmarks in their order, in ``"mm"`` or ``"px"``."""
        errors = self.mm if unit == "mm" else self.px
        rows = [self.images.index(name) for name in images]
        columns = [self.landmarks.index(name) for name in landmarks]
        return errors[np.ix_(rows, columns)]


def error_file(path: str | Path) -> Path:
    """The file of the errors of an evaluation: ``metrics.csv`` of a folder, or the file itself."""
    return Path(path) / "metrics.csv" if Path(path).is_dir() else Path(path)


def read_errors(path: str | Path) -> ErrorFile:
    """Read the errors of an evaluation.

    Args:
        path: ``metrics.csv``, or the folder that it is in.

    Raises:
        BundleError: when the file is missing or is no such table.
    """
    path = error_file(path)
    if not path.is_file():
        raise BundleError(f"there is no {path}: give the folder of an evaluation, or its metrics.csv.")
    reader = csv.DictReader(read_text(path).splitlines())
    if tuple(reader.fieldnames or ())[:4] != _COLUMNS:
        raise BundleError(f"{path} does not have the columns {', '.join(_COLUMNS)}: give metrics.csv of an evaluation.")
    cells: dict[tuple[str, str], list[float]] = {}
    try:
        for row in reader:
            cells[row["image"], row["landmark"]] = [
                float("nan" if row[column] == "" else row[column]) for column in _COLUMNS[2:]
            ]
    except (TypeError, ValueError):
        cells.clear()
    images = tuple(dict.fromkeys(image for image, _ in cells))
    landmarks = tuple(dict.fromkeys(landmark for _, landmark in cells))
    if not cells or {len(cells), reader.line_num - 1} != {len(images) * len(landmarks)}:
        raise BundleError(
            f"{path}, line {reader.line_num}: the table is not complete, has a row twice, or an error that is no "
            "number: run the evaluation again."
        )
    both = np.array([[cells[image, landmark] for landmark in landmarks] for image in images], dtype=np.float64)
    return ErrorFile(path, images, landmarks, both[..., 0], both[..., 1])
