"""Codes of landmarks, such as SNOMED CT's, out of a JSON file."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bundle.errors import LandmarkError
from bundle.io.landmark_files.json_file import load_document
from bundle.records.validation import shown

#: Name and version of the format.
SCHEMA = "one-shot-landmarks/codes/1"

#: The longest value, scheme and meaning, those of a DICOM code (PS3.3, section 8.8).
_LIMITS = {"value": 16, "scheme": 16, "meaning": 64}

_PLAIN = re.compile(r"[\x21-\x5b\x5d-\x7e]+")


@dataclass(frozen=True)
class LandmarkCode:
    """The code of one landmark's anatomy.

    Attributes:
        value: the code, such as ``"42575006"``; DICOM's Code Value (0008,0100).
        scheme: who gives the codes, such as ``"SCT"`` for SNOMED CT or ``"RADLEX"``; DICOM's Coding Scheme Designator
            (0008,0102).
        meaning: the code in words; DICOM's Code Meaning (0008,0104).
    """

    value: str
    scheme: str
    meaning: str


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
    path = Path(path)
    document = load_document(path)
    if document.get("schema") != SCHEMA or set(document) != {"schema", "codes"}:
        raise LandmarkError(
            f'{path}: landmark codes need "schema": "{SCHEMA}" and "codes", nothing else, but '
            f"{shown(sorted(document))} was found: see docs/formats.md."
        )
    entries = document["codes"]
    if not isinstance(entries, dict):
        raise LandmarkError(f"{path}: found {shown(entries)} as codes where an object was expected: correct it.")
    codes = {}
    for name, entry in entries.items():
        if name not in names:
            raise LandmarkError(
                f"{path} has a code for {shown(name)}, but the template has no landmark of this name: correct the "
                "name, or remove it."
            )
        codes[name] = _code(f"{path}: the code of {shown(name)}", entry)
    return codes


def codes_fingerprint(codes: dict[str, LandmarkCode] | None) -> str:
    """The codes as text, by which a run that goes on knows them again."""
    return json.dumps(
        {name: [code.value, code.scheme, code.meaning] for name, code in (codes or {}).items()}, sort_keys=True
    )


def _code(where: str, entry: object) -> LandmarkCode:
    if not isinstance(entry, dict) or set(entry) != set(_LIMITS):
        raise LandmarkError(f"{where} is {shown(entry)}, but value, scheme and meaning were expected: give all three.")
    for key, limit in _LIMITS.items():
        text = entry[key]
        if not isinstance(text, str) or not text.strip() or len(text) > limit or not text.isprintable() or "\\" in text:
            raise LandmarkError(
                f"{where} has the {key} {shown(text)}, but text of 1 to {limit} printable characters without a "
                "backslash was expected: correct it."
            )
    if not _PLAIN.fullmatch(entry["value"]) or not _PLAIN.fullmatch(entry["scheme"]):
        raise LandmarkError(f"{where}: value and scheme must be plain ASCII without spaces: correct them.")
    return LandmarkCode(entry["value"], entry["scheme"], entry["meaning"])
