"""Finding and reading the files of a layout, with sentences that say what is wrong."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bundle.errors import BundleError, ConfigError
from bundle.io.folders import image_ids, search_folder
from bundle.io.landmark_files import RowIndex
from bundle.io.landmark_files.checks import parse_pair, read_text
from bundle.io.overwriting import identity
from bundle.records.names import folded

#: The file by which the folder of an earlier preparation is known.
PREPARED = "dataset.json"


class DataSetError(BundleError):
    """A data set that does not have the layout that it should have."""


@dataclass(frozen=True)
class Match:
    """Which annotation belongs to which image.

    Attributes:
        names: for the ids of annotated images, the name that the annotation has for it.
        without_image: the names that no image has.
        without_landmarks: the ids of images that are not annotated.
    """

    names: dict[str, str]
    without_image: tuple[str, ...]
    without_landmarks: tuple[str, ...]


class Source:
    """The folder of a download, with its subfolders and without the output of a preparation.

    Args:
        folder: the folder.
        output: the folder that is written to; it may lie in the other one.

    Raises:
        ConfigError: when the output holds files of the download.
    """

    def __init__(self, folder: Path, output: Path) -> None:
        inside = output.resolve().is_relative_to(folder.resolve()) and output.is_dir() and any(output.iterdir())
        if identity(folder) == identity(output) or (inside and not (output / PREPARED).is_file()):
            raise ConfigError(f"--output {output} holds files of the source: give a folder of its own for the results.")
        self.folder = folder
        content = search_folder(folder, output, may_lack_images=True)
        self.left_out = content.left_out
        self.files = sorted([*content.images, *(folder / name for name in content.left_out.get("no image", ()))])
        self._images = content.images

    @cached_property
    def images(self) -> dict[str, Path]:
        """All images, by their ids."""
        return dict(zip(image_ids(self._images, self.folder), self._images))

    def file(self, *names: str) -> Path | None:
        """The first file that has one of the names, the names in their order."""
        return next((path for name in names for path in self.files if folded(path.name) == folded(name)), None)

    def with_ending(self, ending: str, folder: str | None = None) -> list[Path]:
        """The files that have an ending, in small letters; those in the first folder of a name, where one is given."""
        files = [path for path in self.files if path.suffix.lower() == ending]
        if folder is not None:
            files = [path for path in files if folded(path.parent.name) == folded(folder)]
            files = [path for path in files if path.parent == files[0].parent]
        return files

    def match(self, names: Iterable[str], images: dict[str, Path] | None = None) -> Match:
        """Find the images that annotations are of, by the rule of :class:`bundle.io.landmark_files.RowIndex`.

        Args:
            names: the images' names as the annotations have them.
            images: the images among which to look; None for all.

        Raises:
            LandmarkError: when a name does not say which of several images it means.
        """
        index, images = RowIndex(names), self.images if images is None else images
        found = {image_id: index.find(path, image_id) for image_id, path in images.items()}
        known = {image_id: name for image_id, name in found.items() if name is not None}
        used = set(known.values())
        return Match(
            known,
            tuple(name for name in index.rows if name not in used),
            tuple(image_id for image_id, name in found.items() if name is None),
        )


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        DataSetError: when it is none.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DataSetError(f"{path} is no valid JSON (line {error.lineno}): download or export it again.") from None


def csv_rows(path: Path) -> list[list[str]]:
    """The rows of a CSV file that are not blank, cells stripped."""
    lines = read_text(path).splitlines()
    separator = max(",;\t", key=lines[0].count)
    return [
        [cell.strip() for cell in row]
        for row in csv.reader(lines, delimiter=separator)
        if any(cell.strip() for cell in row)
    ]


def pairs(cells: Sequence[str], count: int, where: str) -> np.ndarray:
    """Cells ``x1, y1, x2, y2, ...`` as points.

    Args:
        cells: the cells.
        count: how many points there must be.
        where: file and row, for the message.

    Returns:
        (N, 2), NaN where both cells are empty.

    Raises:
        DataSetError: when the number of cells is not twice ``count``.
    """
    if len(cells) != 2 * count:
        raise DataSetError(
            f"{where} has {len(cells)} coordinates, expected {2 * count} ({count} landmarks): this is another layout "
            "or a damaged file."
        )
    couples = enumerate(zip(cells[::2], cells[1::2]), start=1)
    points = np.array([parse_pair(couple, where, str(number)) for number, couple in couples], dtype=np.float64)
    if (np.isnan(points[:, 0]) != np.isnan(points[:, 1])).any():
        raise DataSetError(f"{where} has a landmark with one coordinate only: give both, or none.")
    return points


def point(value: Any, where: str, corner: float = 0.0) -> tuple[float, float]:
    """Two finite JSON numbers.

    Args:
        value: the numbers.
        where: file and landmark, for the message.
        corner: how far left of and above the centre of the first pixel the program counts from: 0.5 for its corner.

    Raises:
        DataSetError: when it is anything else.
    """
    try:
        x, y = (float(number) for number in value[:2])
    except (TypeError, ValueError, IndexError, KeyError):
        raise DataSetError(
            f"{where} is {value!r}, expected two numbers x and y: mend or leave out the point."
        ) from None
    if not (math.isfinite(x) and math.isfinite(y)):
        raise DataSetError(f"{where} is {value!r}, expected two finite numbers: mend or leave out the point.")
    return (math.nan, math.nan) if x == y == -1 else (x - corner, y - corner)


def size_of(width: Any, height: Any) -> tuple[int, int] | None:
    """The size that an annotation file states for its image; None where it states none."""
    try:
        size = int(width), int(height)
    except (TypeError, ValueError):
        return None
    return size if min(size) > 0 else None


def positive(value: Any, where: str) -> float:
    """A positive finite number, such as a spacing.

    Raises:
        DataSetError: when it is anything else.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise DataSetError(f"{where} is {value!r}, expected a positive number of millimetres: mend the file.")
    return number


def arrange(named: dict[str, tuple[float, float]], names: Sequence[str], where: str) -> np.ndarray:
    """Named points in a given order, NaN where one is missing: (N, 2).

    Raises:
        DataSetError: when a name is unknown.
    """
    unknown = sorted(set(named) - set(names))
    if unknown:
        raise DataSetError(
            f"{where} has the landmark {unknown[0]!r}, which the rest of the data set does not have: known are "
            f"{', '.join(names[:8])}{', ...' if len(names) > 8 else ''}; rename it or leave it out."
        )
    return np.array([named.get(name, (math.nan, math.nan)) for name in names], dtype=np.float64)


def name_order(sets: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """All names of several sets in the order in which they first appear."""
    return tuple(dict.fromkeys(name for names in sets for name in names))
