"""Finding and reading the files of a layout, with sentences that say what is wrong."""

import csv
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
from bundle.records.landmarks import LandmarkSet
from bundle.records.names import folded
from bundle.records.validation import Model, parse_json, validate

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
        self.output = output
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


def read_json(path: Path, model: type[Model]) -> Model:
    """The content of a JSON file.

    Raises:
        DataSetError: when it is none, or not as the model says.
    """
    return validate(model, parse_json(read_text(path), str(path), DataSetError), str(path), DataSetError)


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


def table(path: Path, rows: Iterable[Sequence[str]], count: int, scale: float = 1.0) -> dict[str, np.ndarray]:
    """The points of a table by the names of its images: rows ``image, x1, y1, x2, y2, ...``.

    Args:
        path: the file, for the message.
        rows: its rows, without a header.
        count: how many points each row has.
        scale: pixels of one of its units.

    Raises:
        DataSetError: when a row has another number of coordinates, or an image two rows.
    """
    found: dict[str, np.ndarray] = {}
    for line, (name, *cells) in enumerate(rows, start=1):
        where = f"{path}, row {line} (image {name})"
        if name in found:
            raise DataSetError(f"{where}: this image has a row already; keep one.")
        found[name] = pairs(cells, count, where) * scale
    return found


def size_of(width: Any, height: Any) -> tuple[int, int] | None:
    """The size that an annotation file states for its image; None where it states none."""
    try:
        size = int(width), int(height)
    except (TypeError, ValueError):
        return None
    return size if min(size) > 0 else None


def arrange(found: LandmarkSet, names: Sequence[str], where: str) -> np.ndarray:
    """Named points in a given order, NaN where one is missing: (N, 2).

    Raises:
        DataSetError: when a name is unknown.
    """
    unknown = sorted(set(found.names) - set(names))
    if unknown:
        raise DataSetError(
            f"{where} has the landmark {unknown[0]!r}, which the rest of the data set does not have: known are "
            f"{', '.join(names[:8])}{', ...' if len(names) > 8 else ''}; rename it or leave it out."
        )
    named = dict(zip(found.names, found.points.tolist()))
    return np.array([named.get(name, (math.nan, math.nan)) for name in names], dtype=np.float64)


def name_order(sets: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """All names of several sets in the order in which they first appear."""
    return tuple(dict.fromkeys(name for names in sets for name in names))
