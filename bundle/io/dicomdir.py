"""The images that a DICOMDIR names, the table of contents of a DICOM disc."""

from __future__ import annotations

from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from bundle.errors import ImageError
from bundle.io.decoder_process import read_in_process
from bundle.io.dicom_geometry import element

_IN_USE = 0xFFFF


def is_dicomdir(path: Path) -> bool:
    """Whether a file is called as the table of contents of a DICOM disc has to be (DICOM PS3.10 8.6)."""
    return path.name.upper() == "DICOMDIR"


def dicomdir_images(path: Path) -> list[Path]:
    """The files of all records of the type ``IMAGE`` in a DICOMDIR.

    Records of other types, such as reports and presentation states, are left out, and so are records that are no longer
    in use (0004,1410). A name is looked for below the folder of the DICOMDIR, without regard to case where it does
    not exist as written. A file that is not there is listed all the same, so that its loss is noticed when it is read.

    Args:
        path: the DICOMDIR.

    Returns:
        The paths, sorted, each once.

    Raises:
        ImageError: when the DICOMDIR cannot be read, names no image, or leads out of its own folder.
    """
    try:
        images = sorted(set(read_in_process(_listed_images, path)))
    except OSError as error:
        raise ImageError(f"{path} cannot be opened ({error.strerror or error}): check its permissions.") from error
    if not images:
        raise ImageError(f"{path} names no image: give the folder of the images.")
    return images


def _listed_images(path: Path) -> list[Path]:
    try:
        records = list(pydicom.dcmread(path).get("DirectoryRecordSequence", None) or [])
    except Exception as error:  # pydicom raises many types for a damaged file
        if isinstance(error, OSError):
            raise
        raise ImageError(f"{path} is no DICOMDIR, or a damaged one: give the folder of the images.") from error
    return [_resolved(path.parent, _file_id(record, path)) for record in records if _is_image(record)]


def _is_image(record: Dataset) -> bool:
    in_use = element(record, "RecordInUseFlag")
    return element(record, "DirectoryRecordType") == "IMAGE" and in_use in (None, _IN_USE)


def _file_id(record: Dataset, path: Path) -> list[str]:
    value = element(record, "ReferencedFileID")
    parts = list(map(str, value)) if isinstance(value, MultiValue | list) else [str(value or "")]
    if any(part in ("", ".", "..") or "/" in part or "\0" in part for part in parts):
        raise ImageError(
            f"{path} names the file {'/'.join(parts)!r}, which is not below its own folder: give the folder of the "
            "images."
        )
    return parts


def _resolved(folder: Path, parts: list[str]) -> Path:
    found = folder
    for part in parts:
        alike = [found / part]
        if not alike[0].exists() and found.is_dir():
            alike = [entry for entry in found.iterdir() if entry.name.casefold() == part.casefold()]
        found = alike[0] if len(alike) == 1 else found / part
    return found
