"""What Slicer asks of the source: Python 3.9, the packages that Slicer brings, and a complete list."""

import ast
import re
import sys
from pathlib import Path

import pytest

from tests.slicer.application import MODULE

FILES = sorted(MODULE.rglob("*.py"))

#: What Slicer's Python has beside the standard library: of the application, and of packages that others have as well.
SLICERS, SHIPPED = {"slicer", "vtk", "qt", "ctk"}, {"requests"}

#: The files that may know Slicer.
BOUND = {"OneShotLandmarks.py", "panel.py", "point_table.py"}


def imported(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_source_suits_slicers_python(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    tree = ast.parse(text, str(file), feature_version=(3, 9))
    assert not any(isinstance(node, ast.Match) for node in ast.walk(tree))
    assert "from __future__ import annotations" in text or file.name == "__init__.py", "3.9 knows no X | Y when it runs"
    strange = imported(tree) - set(sys.stdlib_module_names) - {"OneShotLandmarksLib", *SHIPPED}
    assert strange <= (SLICERS if file.name in BOUND else set())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_unions_stand_in_annotations_only(file: Path) -> None:
    """Annotations are not evaluated; a union of types elsewhere would be."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    annotations = {
        id(part)
        for node in ast.walk(tree)
        for field in ("annotation", "returns")
        if getattr(node, field, None) is not None
        for part in ast.walk(getattr(node, field))
    }
    unions = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr) and id(node) not in annotations
    ]
    assert unions == []


def test_the_list_for_cmake_is_complete() -> None:
    listed = re.findall(r"\$\{MODULE_NAME\}(\S*\.py)", (MODULE / "CMakeLists.txt").read_text(encoding="utf-8"))
    assert sorted(f"OneShotLandmarks{name}" for name in listed) == [str(file.relative_to(MODULE)) for file in FILES]
    assert (MODULE / "Resources" / "Icons" / "OneShotLandmarks.png").read_bytes().startswith(b"\x89PNG")
