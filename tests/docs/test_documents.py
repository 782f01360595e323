"""The documents: few, every link leads somewhere, and every file that they name is there."""

import re
from pathlib import Path

import pytest

from tests.workflows.running import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("slicer/*/*.md")])
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives to a document's headings."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_there_are_few() -> None:
    assert len([path for path in DOCUMENTS if path.parent in (ROOT, ROOT / "docs")]) <= 12
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    text = _FENCE.sub("", document.read_text(encoding="utf-8"))
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    for target in targets:
        file, _, anchor = target.partition("#")
        path = (document.parent / file).resolve() if file else document
        assert path.exists(), f"{target} is not there"
        assert not anchor or anchor in anchors(path), f"{target} has no such heading"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_named_files_are_there(document: Path) -> None:
    if document.name == "CHANGELOG.md":
        return  # names what was there once
    text = document.read_text(encoding="utf-8")
    rooms = "bundle|configs|docs|label_server|scripts|slicer|study|tests|tools|workbench"
    named = re.findall(rf"`((?:{rooms})/[\w./-]*\w\.\w+)", text)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_rooms_are_those_of_the_package() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text[text.index("| Room |") : text.index("An image is (1, H, W)")]
    rooms = {path.stem for path in (ROOT / "bundle").iterdir() if not path.name.startswith("__")}
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == rooms
    layers = re.search(r"layers = \[\n(.*?)\]", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.DOTALL)
    assert layers is not None
    assert "\n".join(line.strip(' ",') for line in layers[1].strip().splitlines()) in text


def test_what_the_map_names_is_where_it_says() -> None:
    """A class, function or table that the map names beside a module stands in that module."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    text = re.sub(r"\s+", " ", text[text.index("## Where to add something") : text.index("## Speed")])
    pairs = re.findall(r"`(\w+)` (?:in|of) `(bundle/[\w/]+\.py)`", text)
    pairs += [
        (name, module)
        for module, names in re.findall(r"`([\w/]+\.py)`: ((?:`[\w.]+`(?:, )?)+)", text)
        for name in re.findall(r"`(?:\w+\.)?(\w+)`", names)
    ]
    assert len(pairs) > 20
    missing = [pair for pair in pairs if not re.search(rf"\b{pair[0]}\b", (ROOT / pair[1]).read_text(encoding="utf-8"))]
    assert missing == []
