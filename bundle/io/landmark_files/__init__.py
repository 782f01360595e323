"""Landmark files: the landmarks of one image, or of a table of images, out of a file of any known format."""

from pathlib import Path

from bundle.errors import LandmarkError, a_few
from bundle.io.landmark_files.checks import refuse_shares
from bundle.io.landmark_files.csv_file import RowIndex, WideTable, read_csv
from bundle.io.landmark_files.json_file import landmarks_from_document, landmarks_from_markups, load_document
from bundle.io.landmark_files.structured_report_file import landmarks_from_report
from bundle.records.landmarks import LandmarkSet
from bundle.records.radiograph import Radiograph
from bundle.records.validation import shown

#: The endings of landmark files, in lower case.
SUFFIXES = (".mrk.json", ".json", ".csv", ".dcm")


def read_landmarks(path: Path | str, image: Radiograph, image_id: str | None = None) -> LandmarkSet:
    """Read the landmarks of one image.

    Args:
        path: the file: 3D Slicer's point list (``.mrk.json``), CSV of one image or of many, JSON, or a DICOM Structured
            Report (``.dcm``); docs/formats.md shows each. Out of a CSV of many images comes the row of this image
            (see :func:`bundle.io.landmark_files.RowIndex`).
        image: the image that the landmarks belong to: its path chooses the row, its geometry turns the millimetres of
            3D Slicer to pixels.
        image_id: the image's id within its run; its file name without the ending where not given.

    Returns:
        The landmarks, ``(x, y)`` in pixels, 0-based, pixel centres at integers; missing ones as NaN. They may lie
        outside the image (see :meth:`bundle.records.landmarks.LandmarkSet.require_inside`).

    Raises:
        LandmarkError: when the file cannot be used; the message names the file, the place, and what to do.
    """
    path, size = Path(path), (image.width, image.height)
    if _suffix(path) == ".csv":
        content = read_csv(path)
        found = content.landmarks(_row_of(content, image.path, image_id)) if isinstance(content, WideTable) else content
        refuse_shares(str(path), found.points, size)
        return found
    if _suffix(path) == ".dcm":
        return landmarks_from_report(path, image.path)
    document = load_document(path)
    if "markups" in document:
        return landmarks_from_markups(path, document, image)
    if _suffix(path) == ".mrk.json":
        raise LandmarkError(
            f'{path}: found no "markups", which every file of 3D Slicer named .mrk.json has; save it from 3D Slicer, '
            "or name it .json if it is other JSON."
        )
    return landmarks_from_document(path, document, size)


def _row_of(table: WideTable, image: Path, image_id: str | None) -> str:
    try:
        row = RowIndex(table.rows).find(image, image_id)
    except LandmarkError as error:
        raise LandmarkError(f"{table.path}: {error}") from None
    if row is None:
        raise LandmarkError(
            f"{table.path} has no row for the image {image.name}; its rows are "
            f"{a_few([*map(shown, table.rows)])}: add one, named by the image's file name, or choose another table."
        )
    return row


def read_landmark_table(path: Path | str) -> dict[str, LandmarkSet]:
    """Read the landmarks of many images.

    Args:
        path: a CSV file with a row for each image; or a folder with a file for each image, in pixels: its ``.json``
            files (those of 3D Slicer, ``.mrk.json``, are left out), or, where it has none, its ``.csv`` files.

    Returns:
        The landmarks by image name as written in the table, in its order; for a folder by file name without the
        ending, in alphabetical order. :class:`RowIndex` finds the row of an image.

    Raises:
        LandmarkError: when a file cannot be used; the message names the file, the place, and what to do.
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path)
    content = read_csv(path) if _suffix(path) == ".csv" else None
    if not isinstance(content, WideTable):
        raise LandmarkError(
            f"{path} holds the landmarks of one image, but a table of many was expected; name a .csv file with the "
            "columns image,x1,y1,x2,y2,... and a row for each image, or the folder of the files."
        )
    return {image: content.landmarks(image) for image in content.rows}


def _read_folder(folder: Path) -> dict[str, LandmarkSet]:
    """The landmarks of a folder of files, one for each image."""
    try:
        files = sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    except OSError as error:
        raise LandmarkError(
            f"the folder {folder} cannot be read ({error.strerror or error}): check its permissions."
        ) from None
    by_suffix = {suffix: [file for file in files if _suffix(file, strict=False) == suffix] for suffix in SUFFIXES}
    table: dict[str, LandmarkSet] = {}
    for file in by_suffix[".json"] or by_suffix[".csv"]:
        if file.stem in table:
            raise LandmarkError(f"the folder {folder} holds the image {file.stem} twice: keep one file for each image.")
        found = load_document(file) if _suffix(file) == ".json" else read_csv(file)
        if isinstance(found, WideTable) or (isinstance(found, dict) and "markups" in found):
            raise LandmarkError(
                f"{file} is a table of many images, or in the millimetres of 3D Slicer, but a folder must hold one "
                "file in pixels for each image, as CSV or JSON; name a table instead of the folder."
            )
        table[file.stem] = found if isinstance(found, LandmarkSet) else landmarks_from_document(file, found)
    if not table:
        raise LandmarkError(
            f"the folder {folder} holds no .json and no .csv file: name the folder of the landmark files."
        )
    return table


def _suffix(path: Path, strict: bool = True) -> str:
    """The known ending of a file; where it has none, an error, or the empty one."""
    found = next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), "")
    if strict and not found:
        raise LandmarkError(
            f"{path} has the ending {path.suffix or '(none)'}, but a landmark file must end in "
            f"{', '.join(SUFFIXES)}; save it in one of these formats."
        )
    return found
