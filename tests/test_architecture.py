"""Who may import whom in bundle/: the rooms from the lowest to the highest, read off the source with ast.

A room is a folder of bundle/, or a module beside the folders. To add one, put it into ALLOWED above the rooms that may
import it. Imports in functions and under TYPE_CHECKING count as well; names in configurations do not.
"""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parents[1] / "bundle"

#: The modules that the rooms speak to each other in.
RECORDS = {"errors", "landmarks", "radiograph", "template", "measured_value", "prediction"}

#: Each room with the rooms that it may import besides itself, from the lowest to the highest.
ALLOWED: dict[str, set[str]] = {
    "__init__": set(),
    "errors": set(),
    "console": {"errors"},
    "landmarks": {"errors"},
    "radiograph": {"errors", "landmarks"},
    "template": {"errors", "landmarks", "radiograph"},
    "measured_value": set(),
    "prediction": {"errors", "landmarks", "measured_value"},
    "geometry": {"errors", "landmarks"},
    "ranks": {"errors"},
    "weights_only": {"errors"},
    "io": {"errors", "landmarks", "radiograph", "template"},
    "measurements": {"errors", "measured_value", "prediction"},
    "writers": {"errors", "landmarks", "radiograph", "measured_value", "prediction", "io"},
    "report": {"errors", "writers"},
    "transforms": {"errors", "landmarks", "radiograph", "template", "geometry", "io"},
    "data": {*RECORDS, "geometry", "ranks", "io", "transforms"},
    "losses": {"errors", "prediction", "geometry"},
    "matching": {"errors", "prediction", "geometry"},
    "networks": {"errors", "geometry", "weights_only"},
    "metrics": {"errors", "ranks"},
    "inferers": {*RECORDS, "geometry", "matching", "networks"},
    "handlers": {
        *RECORDS,
        "console",
        "geometry",
        "ranks",
        "io",
        "measurements",
        "writers",
        "report",
        "metrics",
        "data",
    },
    "tracking": {"errors", "ranks", "report"},
    "selection": {"networks"},
    "calibration": set(),
    "checkpoint": {*RECORDS, "weights_only"},
    "model": {*RECORDS, "checkpoint", "matching", "networks"},
    "export": {*RECORDS, "io", "writers", "matching", "networks", "checkpoint", "model"},
    "imports": {*RECORDS, "weights_only", "io", "checkpoint", "matching", "networks", "model"},
    "training": {
        *RECORDS,
        *("geometry", "ranks", "data", "losses", "matching", "networks", "metrics", "inferers", "checkpoint", "model"),
    },
}

#: Rooms that other programs can use without the weight of deep learning, and what they must do without.
DEEP_LEARNING = {"torch", "torchvision", "timm", "monai", "monailabel", "ignite"}
FORBIDDEN: dict[str, set[str]] = {
    **dict.fromkeys(
        [*RECORDS, "__init__", "console", "io", "measurements", "writers", "report", "calibration"], DEEP_LEARNING
    ),
    "geometry": DEEP_LEARNING - {"torch"},
}

#: Names under which anything gathers.
NO_NAMES = {"util", "utils", "utility", "utilities", "helper", "helpers", "common", "misc"}


class Import(NamedTuple):
    """One import of ``target``, a dotted name, by the module ``source``."""

    source: str
    target: str
    line: int

    def __str__(self) -> str:
        return f"{self.source}, line {self.line}: imports {self.target}"


def find_modules(package: Path) -> dict[str, Path]:
    """Dotted names of all modules of a package, with their files."""
    modules = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


def find_imports(modules: dict[str, Path]) -> list[Import]:
    """All imports of all modules; what is imported from a package is its module, where it has one of that name."""
    return [
        Import(name, target, line) for name, path in modules.items() for target, line in targets(name, path, modules)
    ]


def targets(name: str, path: Path, modules: dict[str, Path]) -> Iterator[tuple[str, int]]:
    here = name.split(".") if path.stem == "__init__" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            above = here[: len(here) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                inside = f"{origin}.{alias.name}"
                yield inside if inside in modules else origin, node.lineno


def room(module: str) -> str:
    """The room of a module of the package."""
    return module.split(".")[1] if "." in module else "__init__"


def wrong_rooms(imports: list[Import], package: str) -> list[str]:
    """Imports of rooms that the importing room may not use."""
    return [
        f"{found}, but {room(found.source)} may import {sorted(ALLOWED.get(room(found.source), set())) or 'no room'}"
        for found in imports
        if found.target.split(".")[0] == package
        and room(found.target) not in {room(found.source), "__init__", *ALLOWED.get(room(found.source), set())}
    ]


def wrong_packages(imports: list[Import]) -> list[str]:
    """Imports of other people's packages that the importing room must do without."""
    return [str(found) for found in imports if found.target.split(".")[0] in FORBIDDEN.get(room(found.source), set())]


def circle(modules: dict[str, Path], imports: list[Import]) -> list[str]:
    """The modules of one circle of imports; empty where there is none."""
    graph: dict[str, set[str]] = {name: set() for name in modules}
    for found in imports:
        if found.target in modules and found.target != found.source:
            graph[found.source].add(found.target)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


@pytest.fixture(scope="module")
def modules() -> dict[str, Path]:
    return find_modules(PACKAGE)


@pytest.fixture(scope="module")
def imports(modules: dict[str, Path]) -> list[Import]:
    return find_imports(modules)


def test_every_room_is_in_the_table(modules: dict[str, Path]) -> None:
    assert {room(name) for name in modules} - ALLOWED.keys() == set(), "put the room into ALLOWED"


def test_rooms_import_what_the_table_allows(imports: list[Import]) -> None:
    assert wrong_rooms(imports, PACKAGE.name) == []


def test_rooms_do_without_the_packages_forbidden_to_them(imports: list[Import]) -> None:
    assert wrong_packages(imports) == []


def test_no_circle_of_imports(modules: dict[str, Path], imports: list[Import]) -> None:
    assert circle(modules, imports) == []


def test_no_module_is_a_drawer_for_anything(modules: dict[str, Path]) -> None:
    assert [name for name in modules if NO_NAMES & set(name.split("."))] == [], "name it for what it does"


def test_the_table_leads_downwards() -> None:
    order = list(ALLOWED)
    for upper, allowed in ALLOWED.items():
        assert allowed <= set(order[: order.index(upper)]), f"{upper} may import only rooms that stand above it"


def test_light_rooms_may_import_light_rooms_only() -> None:
    """Whoever imports a room imports what that room imports."""
    for light, forbidden in FORBIDDEN.items():
        for below in ALLOWED[light]:
            assert forbidden <= FORBIDDEN.get(below, set()), f"{below} may import what {light} must do without"


@pytest.mark.parametrize(
    ("module", "code", "complaint"),
    [
        ("io/a.py", "from bundle.networks.big import Net", "bundle.io.a, line 1: imports bundle.networks"),
        ("io/a.py", "import bundle.networks.big", "bundle.networks.big"),
        ("io/a.py", "from bundle import networks", "bundle.networks"),
        ("io/a.py", "from ..networks import Net", "bundle.networks"),
        ("io/a.py", "def f():\n    from bundle.writers import x", "line 2: imports bundle.writers"),
        ("io/deep/a.py", "from ... import networks", "bundle.networks"),
        ("io/a.py", "import torch.nn as nn", "torch.nn"),
        ("writers/a.py", "if TYPE_CHECKING:\n    from monai.data import MetaTensor", "monai.data"),
        ("metrics/a.py", "from bundle.handlers import x", "bundle.handlers"),
        ("io/a.py", "import numpy\nfrom bundle.errors import BundleError\nfrom .b import c\nimport torchless", None),
        ("networks/a.py", "import torch, monai\nfrom bundle import __version__", None),
    ],
)
def test_the_rules_catch_what_they_should(tmp_path: Path, module: str, code: str, complaint: str | None) -> None:
    package = tmp_path / "bundle"
    for folder in ("io/deep", "networks", "writers", "metrics", "handlers"):
        (package / folder).mkdir(parents=True)
    for path in (package, *(path for path in package.rglob("*") if path.is_dir())):
        (path / "__init__.py").write_text("")
    (package / module).write_text(code)
    found = find_imports(find_modules(package))
    complaints = wrong_rooms(found, "bundle") + wrong_packages(found)
    assert len(complaints) == (complaint is not None), complaints
    assert complaint is None or complaint in complaints[0]


def test_circles_are_found(tmp_path: Path) -> None:
    package = tmp_path / "bundle"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("from bundle import b")
    (package / "b.py").write_text("def f():\n    from .c import x")
    (package / "c.py").write_text("")
    modules = find_modules(package)
    assert circle(modules, find_imports(modules)) == []
    (package / "c.py").write_text("import bundle.a")
    assert set(circle(modules, find_imports(modules))) == {"bundle.a", "bundle.b", "bundle.c"}
