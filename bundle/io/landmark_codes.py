"""Codes of landmarks, such as SNOMED CT's, out of a JSON file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from bundle.errors import LandmarkError
from bundle.io.landmark_files.json_file import load_document
from bundle.records.validation import Validated, shown, validate

#: Name and version of the format.
SCHEMA = "one-shot-landmarks/codes/1"


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


def codes_fingerprint(codes: dict[str, LandmarkCode] | None) -> str:
    """The codes as text, by which a run that goes on knows them again."""
    return json.dumps({name: list(code.model_dump().values()) for name, code in (codes or {}).items()}, sort_keys=True)
