"""Nothing that is read is written over, whichever way leads to it."""

import os
from pathlib import Path
from typing import Any

import pytest

from bundle.errors import ConfigError
from bundle.io.overwriting import identity, refuse_to_overwrite, require_writable
from tests.conftest import as_nobody


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("data/a.png", "data/landmarks.csv", "data/truth/a.json", "out/old.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "link").symlink_to(tmp_path / "data")
    (tmp_path / "out" / "b.png").symlink_to(tmp_path / "data" / "a.png")
    os.link(tmp_path / "data" / "a.png", tmp_path / "out" / "c.png")
    return tmp_path


@pytest.mark.parametrize(
    ("output", "inputs"),
    [
        ("data/a.png", ["data/a.png"]),
        ("out/../data/a.png", ["data/a.png"]),
        ("link/a.png", ["data/a.png"]),
        ("data/a.png", ["link/a.png"]),
        ("out/b.png", ["data/a.png"]),
        ("out/c.png", ["data/a.png"]),
        ("data/a.PNG", ["data/a.png"]),
        ("data/A.png", ["data/a.png"]),
        ("data/landmarks.csv", [None, 3, {}, ["data/a.png", "data/landmarks.csv"]]),
        ("data/truth/a.json", ["data/truth"]),
    ],
)
def test_an_input_is_found_again(output: str, inputs: list[Any], folder: Path) -> None:
    here = [
        [folder / one for one in i] if isinstance(i, list) else folder / i if isinstance(i, str) else i for i in inputs
    ]
    with pytest.raises(
        ConfigError, match=r"the results would be written over .*, which is one of the inputs: choose an"
    ):
        refuse_to_overwrite([folder / "out" / "new.json", folder / output], here)


@pytest.mark.parametrize(
    ("output", "inputs"),
    [
        ("data/a.json", ["data/a.png"]),
        ("out/a.png", ["data/a.png"]),
        ("out/old.json", ["data/a.png", "data/landmarks.csv", "data/truth"]),
        ("new/a.png", ["data/a.png"]),
        ("data/b.png", ["data/b.png", "nowhere/c.png", "\0"]),
        ("data/a.png", ["data"][:0]),
    ],
)
def test_all_else_is_written(output: str, inputs: list[str], folder: Path) -> None:
    refuse_to_overwrite([folder / output], [str(folder / name) for name in inputs])


def test_what_is_not_there_is_known_by_its_path(tmp_path: Path) -> None:
    assert identity(tmp_path / "x" / ".." / "A") == identity(tmp_path / "a") != identity(tmp_path / "b")


def test_a_file_that_cannot_be_written_is_refused_before_the_work(folder: Path) -> None:
    for path in ("new.pt", "out/old.json", "none/of/these/model.pt"):
        require_writable(folder / path)
    assert not (folder / "none").exists()
    for path, reason in (("data", "it is a folder"), ("out/old.json/model.pt", "nothing can be written into")):
        with pytest.raises(ConfigError, match=f"cannot be written, {reason}"):
            require_writable(folder / path)
    (folder / "out").chmod(0o555)

    def refused() -> None:
        with pytest.raises(ConfigError, match="nothing can be written into"):
            require_writable(folder / "out" / "model.pt")

    as_nobody(refused, folder)
