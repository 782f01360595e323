"""Landmarks in DICOM Structured Reports by template TID 1500, a measurement group each; codes of what they are."""

from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, Literal

import pydicom
from pydantic import AfterValidator, Field
from pydicom.dataset import Dataset

from bundle.errors import LandmarkError
from bundle.io.decoder_process import read_in_process
from bundle.io.landmark_files.checks import make_set, read_bytes
from bundle.io.landmark_files.json_file import load_document
from bundle.records.landmarks import LandmarkSet
from bundle.records.validation import Validated, shown, validate

#: The coding scheme of what the product itself has to name.
CODING_SCHEME = "99OSL"

#: In that scheme: whether the landmark of a group was found, and the answer that it was not.
PRESENCE, MISSING = "presence", "missing"

#: Decimals of a pixel: reports hold single precision, of which more would be noise on an image of thousands of pixels.
DECIMALS = 3

# Concept names by (value, scheme): PS3.16, TID 1500, 1410 and 1501.
_MEASUREMENT_GROUP = ("125007", "DCM")
_TRACKING_IDENTIFIER = ("112039", "DCM")


def landmarks_from_report(path: Path, image: Path | None = None) -> LandmarkSet:
    """The landmarks of a structured report.

    Args:
        path: the report.
        image: the DICOM image that the landmarks must belong to; not compared where the image is none or not given.

    Returns:
        A landmark for each measurement group with a point, named by the group's Tracking Identifier: ``(x, y)`` in
        pixels, 0-based, pixel centres at integers, with 3 decimals (the report counts from the upper left corner of
        the first pixel, PS3.3, C.18.6.1.2). A group in which the product wrote that the landmark was not found is a
        missing one; other groups are passed over.

    Raises:
        LandmarkError: when the file is no report, a group has several points or no name, or the points belong to
            another image.
    """
    return read_in_process(_read_report, path, image)


def _read_report(path: Path, image: Path | None) -> LandmarkSet:
    names: list[str] = []
    points: list[list[float]] = []
    images: set[str] = set()
    content = BytesIO(read_bytes(path))
    try:
        dataset = pydicom.dcmread(content)
        is_report = bool(dataset.get("ContentSequence")) and dataset.get("Modality") == "SR"
        groups = list(_groups(dataset))
    except Exception:  # pydicom raises many types for what is no DICOM file, and what is nested too deep
        raise LandmarkError(f"{path} is no DICOM file, or a damaged one: copy it again.") from None
    if not is_report:
        raise LandmarkError(
            f"{path} is a DICOM file, but no structured report with content: name the report with the landmarks, or a "
            "landmark file of another format."
        )
    for group in groups:
        items = [item for item in group.get("ContentSequence") or [] if isinstance(item, Dataset)]
        regions = [item for item in items if item.get("ValueType") == "SCOORD" and item.get("GraphicType") == "POINT"]
        missing = (MISSING, CODING_SCHEME) in [
            _code(item, "ConceptCodeSequence") for item in items if _concept(item) == (PRESENCE, CODING_SCHEME)
        ]
        if not regions and not missing:
            continue
        name = next((str(item.get("TextValue", "")) for item in items if _concept(item) == _TRACKING_IDENTIFIER), "")
        if len(regions) > 1:
            raise LandmarkError(
                f"{path}: the group {shown(name)} has {len(regions)} points, but one was expected: give each landmark "
                "a group of its own."
            )
        names.append(name)
        points.append(_point(path, name, regions[0]) if regions else [float("nan")] * 2)
        images.update(_image_uids(regions))
    _check_image(path, images, image)
    return make_set(str(path), names, points)


def _groups(item: Dataset) -> Iterator[Dataset]:
    """All measurement groups below an item."""
    for child in item.get("ContentSequence") or []:
        if _concept(child) == _MEASUREMENT_GROUP:
            yield child
        else:
            yield from _groups(child)


def _concept(item: Dataset) -> tuple[str, str]:
    """The concept that an item is about, as (value, scheme)."""
    return _code(item, "ConceptNameCodeSequence")


def _code(item: Dataset, keyword: str) -> tuple[str, str]:
    code: Any = (item.get(keyword) or [{}])[0]
    return str(code.get("CodeValue") or code.get("LongCodeValue") or ""), str(code.get("CodingSchemeDesignator", ""))


def _point(path: Path, name: str, region: Dataset) -> list[float]:
    data = region.get("GraphicData")
    try:
        column, row = (float(number) for number in data)
    except (TypeError, ValueError):
        raise LandmarkError(
            f"{path}: the group {shown(name)} has the point {shown(data)}, but two numbers were expected: correct it."
        ) from None
    return [round(column - 0.5, DECIMALS), round(row - 0.5, DECIMALS)]


def _image_uids(regions: list[Dataset]) -> Iterator[str]:
    """SOP Instance UIDs of the images that points are selected from."""
    for region in regions:
        for item in region.get("ContentSequence") or []:
            for reference in item.get("ReferencedSOPSequence") or []:
                yield str(reference.get("ReferencedSOPInstanceUID", ""))


def _check_image(path: Path, uids: set[str], image: Path | None) -> None:
    """Refuse points on another image than the given one, where that one is a DICOM file that says which it is."""
    if image is None or not uids:
        return
    try:
        own = str(pydicom.dcmread(image, specific_tags=["SOPInstanceUID"], stop_before_pixels=True).SOPInstanceUID)
    except Exception:  # no DICOM file, or one without an id: nothing to compare with
        return
    if uids != {own}:
        raise LandmarkError(
            f"{path} belongs to another image than {image.name} (the SOP Instance UIDs differ): choose the report of "
            "this image."
        )


def _printable(text: str) -> str:
    if not text.strip() or not text.isprintable() or "\\" in text:
        raise ValueError("printable text without a backslash")
    return text


#: Text as DICOM's codes have it (PS3.3, section 8.8): no spaces, no backslash, at most 16 characters.
_Short = Annotated[str, Field(max_length=16, pattern=r"^[\x21-\x5b\x5d-\x7e]+$")]


class LandmarkCode(Validated):
    """The code of one landmark's anatomy.

    Attributes:
        value: the code, such as ``"42575006"``; DICOM's Code Value (0008,0100).
        scheme: who gives the codes, such as ``"SCT"`` for SNOMED CT or ``"RADLEX"``; DICOM's Coding Scheme Designator
            (0008,0102).
        meaning: the code in words; DICOM's Code Meaning (0008,0104).
    """

    value: _Short
    scheme: _Short
    meaning: Annotated[str, Field(max_length=64), AfterValidator(_printable)]


class _Codes(Validated):
    schema_: Literal["one-shot-landmarks/codes/1"] = Field(alias="schema")
    codes: dict[str, LandmarkCode]


def read_landmark_codes(path: str | Path, names: Sequence[str]) -> dict[str, LandmarkCode]:
    """Read the codes of landmarks.

    Args:
        path: a JSON file ``{"schema": "one-shot-landmarks/codes/1", "codes": {name: {"value": ..., "scheme": ...,
            "meaning": ...}}}``.
        names: the landmarks of the template.

    Returns:
        Codes by the name of the landmark; a landmark without a code is not in it.

    Raises:
        LandmarkError: when the file cannot be read, breaks a rule, or has a code for a landmark that there is not.
    """
    codes = validate(_Codes, load_document(Path(path)), str(path), LandmarkError).codes
    for name in codes:
        if name not in names:
            raise LandmarkError(
                f"{path} has a code for {shown(name)}, but the template has no landmark of this name: correct the "
                "name, or remove it."
            )
    return codes
