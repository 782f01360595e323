"""Which row of a table belongs to an image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from bundle.errors import LandmarkError
from bundle.io.names import file_stem, name_parts, safe_image_id
from bundle.records.names import composed, folded
from bundle.records.validation import shown


class RowIndex:
    """The image names of a table, or of an annotation file, looked up by image.

    Names are compared as :func:`bundle.records.names.folded` does, folders by any system's separators, the ending of an
    image file counts only between files of one name.

    Args:
        rows: the names as written there.
    """

    def __init__(self, rows: Iterable[str]) -> None:
        self.rows = list(rows)
        self._whole: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for row in self.rows:
            self._whole[folded(row)].append(row)
            self._by_stem[folded(file_stem(row))].append(row)

    def find(self, image_path: Path | str, image_id: str | None = None) -> str | None:
        """The row that belongs to an image.

        The first rule that finds a row counts: the row is the image's id; the row is the end of the image's path, its
        file name at least, and the longest such row; the row without folders and without the ending of an image file is
        the image's file name without its ending. An id other than the file name without its ending says that the run
        has other images of that name: then a row has to be the id, or to name the folder.

        Args:
            image_path: the image file.
            image_id: the image's id within its run; its file name without the ending where not given.

        Returns:
            The row as written, or None where none belongs to the image.

        Raises:
            LandmarkError: when several rows fit equally well, or one does not say which image of the run it means.
        """
        image_name = str(image_path)
        parts, stem = name_parts(image_name), file_stem(image_name)
        image_id = stem if image_id is None else image_id
        if whole := self._whole.get(folded(image_id)):
            return _only(whole, image_id, image_name)
        same_stem = self._by_stem.get(folded(stem), [])
        ends = [row for row in same_stem if _same_path(name_parts(row), parts[-len(name_parts(row)) :])]
        if image_id not in (stem, safe_image_id(stem)):
            bare = [row for row in same_stem if len(name_parts(row)) == 1]
            ends = [row for row in ends if row not in bare]
            if bare and not ends:
                raise LandmarkError(
                    f"the row {shown(bare[0])} does not say which of the images of that name it belongs to, "
                    f"{image_name} or another: name the row {shown(image_id)} or by the path of the image."
                )
            same_stem = []
        longest = max((len(name_parts(row)) for row in ends), default=0)
        fitting = [row for row in ends if len(name_parts(row)) == longest] or same_stem
        return _only(fitting, "/".join(parts[-longest:]), image_name) if fitting else None


def _same_path(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    return [folded(part) for part in one] == [folded(part) for part in other]


def _only(rows: list[str], wanted: str, image_name: str) -> str:
    """The one of some rows that fit; of several, the one that is written as wanted."""
    exact = [row for row in rows if "/".join(name_parts(row)) == composed(wanted)] if len(rows) > 1 else rows
    if len(exact) != 1:
        raise LandmarkError(
            f"the image {image_name} could belong to the rows {a_few(rows)}: write the image's file name with its "
            "ending into the right row, and leave only one such row."
        )
    return exact[0]


def a_few(rows: list[str], limit: int = 4) -> str:
    """The first few of the rows, for a message."""
    first = ", ".join(shown(row) for row in rows[:limit])
    return f"{first} and {len(rows) - limit} more" if len(rows) > limit else first
