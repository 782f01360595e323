"""What the import contracts in pyproject.toml cannot say: no module is a drawer for anything."""

from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "bundle"

#: Names under which anything gathers.
NO_NAMES = {"util", "utils", "utility", "utilities", "helper", "helpers", "common", "misc"}


def test_no_module_is_a_drawer_for_anything() -> None:
    found = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")]
    assert len(found) > 50
    assert [path for path in found if NO_NAMES & {*path.parts[:-1], path.stem}] == [], "name it for what it does"
