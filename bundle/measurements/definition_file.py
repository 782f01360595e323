"""Definitions of measurements out of a JSON file."""

from __future__ import annotations

import graphlib
import hashlib
import json
import math
import reprlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bundle.measurements.kinds import (
    UNITS,
    Angle,
    Distance,
    Kind,
    Line,
    LineAngle,
    Perpendicular,
    Projection,
    Ratio,
    Sum,
)
from bundle.measurements.plan import Category, Definition, MeasurementPlan
from bundle.records.errors import ConfigError

#: Name and version of the format.
SCHEMA = "one-shot-landmarks/measurements/1"

#: The largest file of definitions that is read, in bytes, and the most definitions.
MAX_FILE_BYTES = 1024 * 1024
MAX_DEFINITIONS = 1000

_TOP = {"schema", "title", "source", "landmark_count", "landmarks", "measurements"}
_COMMON = {"name", "title", "kind", "unit", "normal_range", "classes", "decimals", "hidden"}
_KEYS: dict[str, tuple[set[str], set[str]]] = {  # what a kind needs, and what it may have
    "distance": ({"points"}, {"signed_along"}),
    "angle": ({"vertex", "arms"}, set()),
    "angle_between_lines": ({"lines"}, {"positive_towards"}),
    "perpendicular": ({"point", "line"}, {"positive_towards"}),
    "projection": ({"points", "line"}, set()),
    "ratio": ({"numerator", "denominator"}, set()),
    "sum": ({"terms"}, {"constant"}),
}

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxdict, _SHORT.maxlist, _SHORT.maxstring = 2, 4, 4, 60


def read_measurements(path: str | Path, names: Sequence[str]) -> MeasurementPlan:
    """Read the definitions of measurements.

    docs/measurements.md describes the file, docs/schema/measurements-1.schema.json is its JSON Schema.

    Args:
        path: the file.
        names: the landmarks of the template, in its order, to which the file's names and numbers are bound.

    Returns:
        The measurements.

    Raises:
        ConfigError: when the file cannot be read or breaks a rule, or names a landmark that the template does not
            have; the message names the file and the measurement.
    """
    path = Path(path)
    data = _read_bytes(path)
    document = _parse(path, data)
    _check_keys(str(path), document, {"schema", "measurements"}, _TOP)
    if document["schema"] != SCHEMA:
        raise ConfigError(f"{path}: found the schema {_shown(document['schema'])}, but {SCHEMA} was expected: set it.")
    count = document.get("landmark_count")
    if count is not None and count != len(names):
        raise ConfigError(
            f"{path} is for {_shown(count)} landmarks (landmark_count), but the template has {len(names)}: choose the "
            "definitions that belong to the template."
        )
    landmarks = _Landmarks(path, tuple(names), document.get("landmarks", {}))
    entries = document["measurements"]
    if not isinstance(entries, list) or not 0 < len(entries) <= MAX_DEFINITIONS:
        raise ConfigError(
            f"{path}: found {_shown(entries)} as measurements where a list of 1 to {MAX_DEFINITIONS} objects was "
            "expected: correct it."
        )
    definitions = _Definitions(path, landmarks, entries).read()
    return MeasurementPlan(
        title=_text(f"{path}: title", document.get("title", path.stem)),
        source=_text(f"{path}: source", document.get("source", "")),
        definitions=definitions,
        names=tuple(names),
        digest=hashlib.sha256(data).hexdigest(),
    )


class _Landmarks:
    """The landmarks of the template by what the file calls them."""

    def __init__(self, path: Path, names: tuple[str, ...], own: object) -> None:
        self.names = names
        self.own: dict[str, int] = {}
        if not isinstance(own, Mapping):
            raise ConfigError(f"{path}: found {_shown(own)} as landmarks where an object was expected: correct it.")
        for short, target in own.items():
            where = f"{path}: landmarks, {_shown(short)}"
            if short in names and self.index(where, target) != names.index(short):
                raise ConfigError(
                    f"{where}: the template has another landmark of this name: choose another short name."
                )
            self.own[short] = self.index(where, target, short_names=False)

    def index(self, where: str, reference: object, short_names: bool = True) -> int:
        """The landmark that a number (from 0), a short name of the file, or a name of the template means."""
        if isinstance(reference, int) and not isinstance(reference, bool):
            if not 0 <= reference < len(self.names):
                raise ConfigError(
                    f"{where}: there is no landmark number {reference}, for the template has {len(self.names)}, "
                    "counted from 0: correct the number."
                )
            return reference
        if isinstance(reference, str):
            if short_names and reference in self.own:
                return self.own[reference]
            if reference in self.names:
                return self.names.index(reference)
        raise ConfigError(
            f"{where}: found the landmark {_shown(reference)}, but a name of the template or a number from 0 to "
            f"{len(self.names) - 1} was expected: correct it, or rename the template's landmarks."
        )


class _Definitions:
    """Reads the entries of a file."""

    def __init__(self, path: Path, landmarks: _Landmarks, entries: list[Any]) -> None:
        self.path = path
        self.landmarks = landmarks
        self.entries: dict[str, dict[str, Any]] = {}
        for number, entry in enumerate(entries, start=1):
            name = entry.get("name") if isinstance(entry, dict) else None
            if not isinstance(name, str) or not name.strip() or len(name) > 40 or not name.isprintable():
                raise ConfigError(
                    f"{path}: measurement number {number} is {_shown(entry)} where an object with a name of 1 to 40 "
                    "printable characters was expected: correct it."
                )
            if name in self.entries:
                raise ConfigError(f"{path}: the measurement {_shown(name)} is defined twice: make the names differ.")
            self.entries[name] = entry
        self.kinds: dict[str, Kind] = {}

    def read(self) -> tuple[Definition, ...]:
        """All definitions, in the order of the file."""
        graph = {name: self._parts(name) for name in self.entries}
        try:
            order = list(graphlib.TopologicalSorter(graph).static_order())
        except graphlib.CycleError as error:
            circle = ", ".join(_shown(name) for name in error.args[1][:-1])
            raise ConfigError(
                f"{self.path}: the measurements {circle} are computed from each other: cut the circle."
            ) from None
        for name in order:
            self.kinds[name] = self._kind(name, self.entries[name])
        return tuple(self._definition(name, entry) for name, entry in self.entries.items())

    def _parts(self, name: str) -> list[str]:
        """The measurements that one is computed from, each of which must be there."""
        entry = self.entries[name]
        where = self._where(name)
        kind = entry.get("kind")
        if not isinstance(kind, str) or kind not in _KEYS:
            raise ConfigError(f"{where}: found the kind {_shown(kind)}, but one of {', '.join(_KEYS)} was expected.")
        needed, optional = _KEYS[kind]
        _check_keys(where, entry, {"name", "kind", *needed}, {*_COMMON, *needed, *optional})
        if kind == "ratio":
            parts = [entry["numerator"], entry["denominator"]]
        elif kind == "sum":
            if not isinstance(entry["terms"], dict) or not entry["terms"]:
                raise ConfigError(
                    f"{where}: found {_shown(entry['terms'])} as terms where factors by name were expected."
                )
            parts = list(entry["terms"])
        else:
            parts = []
        for part in parts:
            if not isinstance(part, str) or part not in self.entries:
                raise ConfigError(f"{where}: there is no measurement {_shown(part)} in the file: define it.")
        return parts

    def _kind(self, name: str, entry: dict[str, Any]) -> Kind:
        where = self._where(name)
        readers: dict[str, Callable[[], Kind]] = {
            "distance": lambda: Distance(
                self._pair(where, entry["points"], "points"), self._optional_pair(where, entry, "signed_along")
            ),
            "angle": lambda: Angle(self._one(where, entry["vertex"]), self._pair(where, entry["arms"], "arms")),
            "angle_between_lines": lambda: LineAngle(self._lines(where, entry["lines"]), self._side(where, entry)),
            "perpendicular": lambda: Perpendicular(
                self._one(where, entry["point"]), self._pair(where, entry["line"], "line"), self._side(where, entry)
            ),
            "projection": lambda: Projection(
                self._pair(where, entry["points"], "points"), self._pair(where, entry["line"], "line")
            ),
            "ratio": lambda: Ratio(entry["numerator"], entry["denominator"]),
            "sum": lambda: Sum(
                {
                    part: _number(f"{where}: the factor of {_shown(part)}", value)
                    for part, value in entry["terms"].items()
                },
                self.kinds[next(iter(entry["terms"]))].dimension,
                _number(f"{where}: constant", entry.get("constant", 0)),
            ),
        }
        kind = readers[entry["kind"]]()
        dimensions = {self.kinds[part].dimension for part in kind.parts()}
        if len(dimensions) > 1:
            raise ConfigError(
                f"{where}: it is computed from values of different sorts ({', '.join(sorted(dimensions))}): use "
                "measurements of one unit."
            )
        unit = entry.get("unit", UNITS[kind.dimension])
        if unit != UNITS[kind.dimension]:
            raise ConfigError(
                f"{where}: found the unit {_shown(unit)}, but this kind is in {UNITS[kind.dimension]!r}: leave the "
                "unit out, or correct it."
            )
        return kind

    def _definition(self, name: str, entry: dict[str, Any]) -> Definition:
        where = self._where(name)
        decimals = entry.get("decimals", 3 if self.kinds[name].dimension == "number" else 1)
        if isinstance(decimals, bool) or not isinstance(decimals, int) or not 0 <= decimals <= 6:
            raise ConfigError(f"{where}: found {_shown(decimals)} as decimals where 0 to 6 was expected: correct it.")
        hidden = entry.get("hidden", False)
        if not isinstance(hidden, bool):
            raise ConfigError(
                f"{where}: found {_shown(hidden)} as hidden where true or false was expected: correct it."
            )
        normal = entry.get("normal_range")
        return Definition(
            name=name,
            title=_text(f"{where}: title", entry.get("title", name)),
            kind=self.kinds[name],
            normal_range=None if normal is None else _range(f"{where}: normal_range", normal),
            categories=self._categories(where, entry.get("classes", [])),
            decimals=decimals,
            hidden=hidden,
        )

    @staticmethod
    def _categories(where: str, entries: object) -> tuple[Category, ...]:
        if not isinstance(entries, list):
            raise ConfigError(f"{where}: found {_shown(entries)} as classes where a list was expected: correct it.")
        categories = []
        for entry in entries:
            if not isinstance(entry, dict):
                raise ConfigError(
                    f"{where}: found {_shown(entry)} as a class where an object was expected: correct it."
                )
            _check_keys(f"{where}, classes", entry, {"label"}, {"label", "from", "to"})
            low, high = _range(f"{where}: class {_shown(entry['label'])}", [entry.get("from"), entry.get("to")])
            categories.append(Category(_text(f"{where}: the label of a class", entry["label"]), low, high))
        return tuple(categories)

    def _where(self, name: str) -> str:
        return f"{self.path}: measurement {_shown(name)}"

    def _one(self, where: str, reference: object) -> int:
        return self.landmarks.index(where, reference)

    def _pair(self, where: str, references: object, key: str) -> Line:
        if not isinstance(references, list) or len(references) != 2:
            raise ConfigError(f"{where}: found {_shown(references)} as {key} where two landmarks were expected.")
        first, second = (self._one(where, reference) for reference in references)
        if first == second:
            raise ConfigError(f"{where}: {key} names one landmark twice: name two different ones.")
        return first, second

    def _optional_pair(self, where: str, entry: dict[str, Any], key: str) -> Line | None:
        return None if entry.get(key) is None else self._pair(where, entry[key], key)

    def _lines(self, where: str, lines: object) -> tuple[Line, Line]:
        if not isinstance(lines, list) or len(lines) != 2:
            raise ConfigError(f"{where}: found {_shown(lines)} as lines where two pairs of landmarks were expected.")
        return self._pair(where, lines[0], "lines"), self._pair(where, lines[1], "lines")

    def _side(self, where: str, entry: dict[str, Any]) -> int | None:
        return None if entry.get("positive_towards") is None else self._one(where, entry["positive_towards"])


def _read_bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(
                f"{path} is larger than the {MAX_FILE_BYTES // 1024} kB that a file of measurements may have: check "
                "that it is one."
            )
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"measurements is {str(path)!r}, which cannot be read ({error.strerror or error}): check the path and its "
            "rights."
        ) from None


def _parse(path: Path, data: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = next(key for i, (key, _) in enumerate(pairs) if key in dict(pairs[:i]))
            raise ConfigError(f"{path}: the key {_shown(twice)} is used more than once in an object: keep one.")
        return found

    try:
        document = json.loads(data.decode("utf-8-sig"), object_pairs_hook=unique)
    except ConfigError:
        raise
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{path}, line {error.lineno}: the file is no valid JSON ({error.msg} at column {error.colno}): correct it "
            "there."
        ) from None
    except (ValueError, RecursionError):
        raise ConfigError(f"{path} is no UTF-8 text with JSON of measurements: see docs/measurements.md.") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: found {_shown(document)} at the top where an object was expected: correct it.")
    return document


def _check_keys(where: str, entry: Mapping[str, Any], needed: set[str], allowed: set[str]) -> None:
    missing, unknown = sorted(needed - entry.keys()), sorted(entry.keys() - allowed)
    if missing:
        raise ConfigError(f"{where}: {', '.join(missing)} is missing: add what is missing.")
    if unknown:
        raise ConfigError(
            f"{where}: {_shown(unknown[0])} is not known there, expected any of {', '.join(sorted(allowed))}: correct "
            "it."
        )


def _text(where: str, value: object) -> str:
    if not isinstance(value, str) or len(value) > 1000 or not value.isprintable():
        raise ConfigError(
            f"{where} is {_shown(value)}, but at most 1000 printable characters were expected: correct it."
        )
    return value


def _number(where: str, value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300 and math.isfinite(value):
        return float(value)
    raise ConfigError(f"{where} is {_shown(value)}, but a finite number was expected: correct it.")


def _range(where: str, value: object) -> tuple[float | None, float | None]:
    if not isinstance(value, list) or len(value) != 2:
        raise ConfigError(f"{where} is {_shown(value)}, but [lowest, highest] was expected: correct it.")
    low, high = (None if end is None else _number(where, end) for end in value)
    if low is not None and high is not None and low > high:
        raise ConfigError(f"{where} runs from {low:g} to {high:g}, but the lower end comes first: swap them.")
    return low, high


def _shown(value: object) -> str:
    text = _SHORT.repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
