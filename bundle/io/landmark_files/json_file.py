"""Landmarks in JSON: the product's own results, a list of landmarks, or names with pairs of numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bundle.io.landmark_files.checks import MAX_DOCUMENT_BYTES, MAX_LANDMARKS, check_number, make_set, read_text, shown
from bundle.records.errors import LandmarkError
from bundle.records.landmarks import LandmarkSet

_SHAPES = 'expected {"landmarks": [{"name": ..., "x": ..., "y": ...}, ...]} or {"<name>": [x, y], ...}'
_OWN = "one-shot-landmarks/"
_OWN_RESULTS = ("one-shot-landmarks/result/2", "one-shot-landmarks/result/1")


def load_document(path: Path) -> dict[str, Any]:
    """Read a JSON file whose top is an object.

    Args:
        path: the file.

    Returns:
        The object.

    Raises:
        LandmarkError: when the file cannot be read, is no JSON, is nested too deep, uses a key twice in an object, or
            its top is no object.
    """
    text = read_text(path, MAX_DOCUMENT_BYTES)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise LandmarkError(
                f"{path}: the name {shown(twice)} is used more than once in an object; make the names differ."
            )
        return found

    try:
        document = json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise LandmarkError(
            f"{path}, line {error.lineno}: the file is no valid JSON ({error.msg} at column {error.colno}); correct it "
            "there."
        ) from None
    except RecursionError:
        raise LandmarkError(f"{path} is nested far too deep for a landmark file; {_SHAPES}.") from None
    except LandmarkError:
        raise
    except ValueError:
        raise LandmarkError(f"{path} holds a number with too many digits; write finite numbers of pixels.") from None
    if not isinstance(document, dict):
        raise LandmarkError(f"{path}: found {shown(document)} at the top of the file; {_SHAPES}.")
    return document


def landmarks_from_document(path: Path, document: dict[str, Any], size: tuple[int, int] | None = None) -> LandmarkSet:
    """The landmarks of a JSON document in pixels.

    Args:
        path: the file, for messages.
        document: what :func:`load_document` returned.
        size: ``(width, height)`` of the image in pixels, which the product's own results must share; None where the
            image is not known.

    Returns:
        The landmarks; missing where a coordinate is null or NaN.

    Raises:
        LandmarkError: when the document has another shape, or is a result for an image of another size.
    """
    schema = document.get("schema")
    if isinstance(schema, str) and schema.startswith(_OWN):
        if schema not in _OWN_RESULTS:
            raise LandmarkError(
                f"{path}: found the schema {shown(schema)}, but {' or '.join(_OWN_RESULTS)} was expected; write it "
                "anew."
            )
        own_size = (document.get("width"), document.get("height"))
        if size is not None and own_size != size:
            raise LandmarkError(
                f"{path} belongs to an image of {own_size[0]} x {own_size[1]} pixels, but the image has {size[0]} x "
                f"{size[1]} "
                "pixels; choose the landmark file of this image."
            )
    if "landmarks" in document:
        names, points = _from_list(path, document["landmarks"])
    else:
        names, points = _from_pairs(path, document)
    return make_set(str(path), names, points)


def _check_count(path: Path, count: int) -> None:
    """Refuse absurd numbers of landmarks before each is looked at."""
    if count > MAX_LANDMARKS:
        raise LandmarkError(
            f"{path} holds {count} landmarks, more than the {MAX_LANDMARKS} that are read: check that it is a landmark "
            "file."
        )


def _from_list(path: Path, entries: object) -> tuple[list[str], list[list[float]]]:
    """Names and points of a list of objects with name, x and y."""
    if not isinstance(entries, list):
        raise LandmarkError(f'{path}: found {shown(entries)} as "landmarks" where a list was expected; {_SHAPES}.')
    _check_count(path, len(entries))
    names: list[str] = []
    points: list[list[float]] = []
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict) or not {"name", "x", "y"} <= entry.keys():
            raise LandmarkError(
                f"{path}: landmark number {number} is {shown(entry)} where an object with name, x and y was expected; "
                "add what is missing."
            )
        name = entry["name"]
        if not isinstance(name, str):
            raise LandmarkError(
                f"{path}: landmark number {number} has the name {shown(name)}, but text was expected; put it in "
                "quotation marks."
            )
        names.append(name.strip())
        points.append([check_number(entry[axis], f"{path}: landmark {shown(name)}, {axis}") for axis in "xy"])
    return names, points


def _from_pairs(path: Path, document: dict[str, Any]) -> tuple[list[str], list[list[float]]]:
    """Names and points of an object of pairs."""
    _check_count(path, len(document))
    names: list[str] = []
    points: list[list[float]] = []
    for name, pair in document.items():
        pair = [None, None] if pair is None else pair
        if not isinstance(pair, list) or len(pair) != 2:
            raise LandmarkError(
                f"{path}: found {shown(pair)} under {shown(name)} where a pair [x, y] was expected; {_SHAPES}."
            )
        names.append(name.strip())
        points.append(
            [check_number(value, f"{path}: landmark {shown(name)}, {axis}") for axis, value in zip("xy", pair)]
        )
    return names, points
