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


def write_json(path: Path, content: Any) -> Path:
    """Write values of JSON.

    Raises:
        BundleError: when the file cannot be written.
    """
    text = json.dumps(json_values(content), indent=2, ensure_ascii=False, allow_nan=False)
    with atomic_file(path) as file:
        file.write(text + "\n")
    return path
