"""What a DICOM object that is made for an image has to know of that image."""

from __future__ import annotations

import hashlib
import uuid
from functools import partial
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import UID

from bundle.errors import NothingToWrite
from bundle.io.decoder_process import read_in_process
from bundle.io.formats import sniff_kind

#: What identifies an image, each of which a reference to it needs.
_NEEDED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")

#: What says whose image it is and which examination it belongs to. PS3.3 demands the elements (type 2) in every object
#: (C.7.1.1, C.7.2.1), but lets them be empty.
IDENTIFYING = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
_SEXES = ("M", "F", "O")


def read_source(path: Path, include_identifiers: bool) -> Dataset:
    """What a new object takes over from the DICOM image that it belongs to.

    Args:
        path: the image file.
        include_identifiers: whether :data:`IDENTIFYING` is taken over; else these elements are empty. The UIDs, by
            which an archive finds the image again, are taken over always: without them there is no reference.

    Returns:
        A dataset with these elements alone.

    Raises:
        NothingToWrite: when the file is no DICOM image, or lacks a UID.
    """
    try:
        if sniff_kind(path) != "DICOM":
            raise NothingToWrite(f"{path.name} is no DICOM file, so that there is no image to refer to.")
        header = read_in_process(partial(pydicom.dcmread, stop_before_pixels=True, force=True), path)
        found = {keyword: header.get(keyword) for keyword in (*_NEEDED, *IDENTIFYING)}
        character_set = header.get("SpecificCharacterSet")
    except NothingToWrite:
        raise
    except Exception as error:  # pydicom raises many types for a damaged header
        raise NothingToWrite(
            f"{path.name} has a header that cannot be read, so that no reference is possible."
        ) from error
    source = Dataset()
    for keyword in _NEEDED:
        uid = UID(str(found[keyword] or ""))
        if not uid.is_valid or len(uid) > 64:
            raise NothingToWrite(f"{path.name} has no valid {keyword}, so that no reference to the image is possible.")
        setattr(source, keyword, uid)
    for keyword in IDENTIFYING:
        setattr(source, keyword, (found[keyword] or "") if include_identifiers else "")
    if str(source.PatientSex) not in _SEXES:
        source.PatientSex = ""
    if include_identifiers and character_set:
        source.SpecificCharacterSet = character_set
        source.decode()
    return source


def new_uid() -> str:
    """A UID that no other object has (PS3.5, section B.2)."""
    return f"2.25.{uuid.uuid4().int}"


def steady_uid(*parts: str) -> str:
    """A UID that is the same for the same text, and another one for any other text."""
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).digest()[:16]
    return f"2.25.{uuid.UUID(bytes=digest, version=5).int}"
