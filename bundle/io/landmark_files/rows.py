"""Which row of a table belongs to an image."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath

from bundle.io.formats import image_suffix
from bundle.io.landmark_files.checks import shown
from bundle.records.errors import LandmarkError
from bundle.records.landmarks import LandmarkSet


def _parts(name: str) -> tuple[str, ...]:
    """The folders and the name of a path as written on any system."""
    return PurePosixPath(name.strip().replace("\\", "/")).parts


def file_stem(name: str) -> str:
    """The file name without its folders and without the ending of an image file; other dots stay."""
    last = (_parts(name) or ("",))[-1]
    return last[: len(last) - len(image_suffix(last))]


def match_row(rows: Collection[str], image_path: Path | str, image_id: str | None = None) -> str | None:
    """The row that belongs to an image.

    The first rule that finds a row counts: the row is the image's id; the row is the end of the image's path, its file
    name at least, and the longest such row; the row without folders and without the ending of an image file is the
    image's file name without its ending. An id other than the file name without its ending says that the run has other
    images of that name: then a row has to be the id, or to name the folder.

    Args:
        rows: the image names of a table, as written there.
        image_path: the image file.
        image_id: the image's id within its run; its file name without the ending where not given.

    Returns:
        The row as written, or None where none belongs to the image.

    Raises:
        LandmarkError: when the last rule finds several rows, or a row does not say which image of the run it means.
    """
    image_name = str(image_path)
    image_parts = _parts(image_name)
    stem = file_stem(image_name)
    image_id = stem if image_id is None else image_id
    if image_id in rows:
        return image_id
    same_stem = [row for row in rows if file_stem(row) == stem]
    ends = [row for row in same_stem if image_parts[-len(_parts(row)) :] == _parts(row)]
    if image_id != stem:
        ends = [row for row in ends if len(_parts(row)) > 1]
        bare = [row for row in same_stem if len(_parts(row)) == 1]
        if bare and not ends:
            raise LandmarkError(
                f"the row {shown(bare[0])} does not say which of the images of that name it belongs to, {image_name} "
                f"or another: name the row {shown(image_id)} or by the path of the image."
            )
        same_stem = []
    if ends:
        return max(ends, key=lambda row: len(_parts(row)))
    if len(same_stem) > 1:
        raise LandmarkError(
            f"the image {image_name} could belong to the rows {_some(same_stem)}: write the image's file name "
            "with its ending into the right row."
        )
    return same_stem[0] if same_stem else None


def lookup(table: Mapping[str, LandmarkSet], image_path: Path | str, image_id: str | None = None) -> LandmarkSet:
    """The landmarks of one image out of a table (see :func:`match_row` for the rule).

    Args:
        table: what :func:`bundle.io.landmark_files.read_landmark_table` returned.
        image_path: the image file.
        image_id: the image's id within its run; its file name without the ending where not given.

    Returns:
        The landmarks of that image.

    Raises:
        LandmarkError: when no row, or more than one, belongs to the image.
    """
    row = match_row(table, image_path, image_id)
    if row is None:
        raise no_row(table, image_path, "the landmark table")
    return table[row]


def no_row(rows: Collection[str], image_path: Path | str, where: str) -> LandmarkError:
    """The error that an image has no row; it names a few of the rows there are."""
    return LandmarkError(
        f"{where} has no row for the image {Path(image_path).name}; its rows are {_some(rows)}: add one, named by the "
        "image's file name, or choose another table."
    )


def _some(rows: Collection[str], limit: int = 4) -> str:
    """The first few of the rows, for a message."""
    first = ", ".join(shown(row) for row in list(rows)[:limit])
    return f"{first} and {len(rows) - limit} more" if len(rows) > limit else first
