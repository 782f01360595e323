"""JSON files that appear whole or not at all, without what JSON does not know."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bundle.writers.atomic import atomic_file
from bundle.writers.naming import printable


def json_values(value: Any) -> Any:
    """The same with None for NaN and infinity, which JSON does not know, and with text that UTF-8 can hold."""
    if isinstance(value, Mapping):
        return {str(key): json_values(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [json_values(entry) for entry in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return printable(value) if isinstance(value, str) else value


def rounded(value: float, decimals: int) -> float | None:
    """A finite number rounded for a file, or None where it is not finite."""
    number = float(value)
    return round(number, decimals) + 0.0 if math.isfinite(number) else None


def json_lines(content: Mapping[str, Any]) -> str:
    """The text of an object of JSON, a key a line, and of a list of objects an entry a line."""

    def text(value: Any) -> str:
        if isinstance(value, list) and value and isinstance(value[0], dict):
            entries = ",\n".join(f"    {_dumps(entry)}" for entry in value)
            return f"[\n{entries}\n  ]"
        return _dumps(value)

    lines = ",\n".join(f"  {_dumps(key)}: {text(value)}" for key, value in content.items())
    return f"{{\n{lines}\n}}\n"


def write_json(path: Path, content: Any) -> Path:
    """Write values of JSON.

    Raises:
        BundleError: when the file cannot be written.
    """
    text = json.dumps(json_values(content), indent=2, ensure_ascii=False, allow_nan=False)
    with atomic_file(path) as file:
        file.write(text + "\n")
    return path


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
