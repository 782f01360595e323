import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from bundle.errors import BundleError
from bundle.writers.files import atomic_file, remove_leftovers
from tests.conftest import as_nobody


def write(path: Path, text: str = "new") -> None:
    with atomic_file(path) as file:
        file.write(text)


def test_file_and_folder_are_on_the_disk_before_and_after_the_name_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def fsync(descriptor: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")

    replace = Path.replace
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", lambda path, target: (done.append("replace"), replace(path, target)))
    write(tmp_path / "a.txt")
    assert done == ["file", "replace", "folder"]


@pytest.mark.parametrize("umask", [0o077, 0o027, 0o002])
def test_rights_are_those_that_the_user_gives_new_files(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        write(tmp_path / "new folder" / "a.txt")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new folder" / "a.txt").stat().st_mode) == 0o666 & ~umask
    assert stat.S_IMODE((tmp_path / "new folder").stat().st_mode) == 0o777 & ~umask


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.txt", "old")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(*((os, "fsync") if step == "fsync" else (Path, "replace")), full)
    with pytest.raises(BundleError, match=r"a\.txt cannot be written \(No space left on device\): check the folder"):
        write(tmp_path / "a.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_a_folder_that_may_only_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    folder.chmod(0o555)

    def attempt() -> None:
        with pytest.raises(BundleError, match=r"cannot be written \(Permission denied\)"):
            write(folder / "a.txt")

    as_nobody(attempt, tmp_path)
    assert list(folder.iterdir()) == []


def test_a_link_in_the_place_of_a_result_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("old")
    (tmp_path / "a.txt").symlink_to(tmp_path / "precious.txt")
    write(tmp_path / "a.txt")
    assert (tmp_path / "precious.txt").read_text() == "old" and not (tmp_path / "a.txt").is_symlink()


def test_only_our_own_leftovers_are_removed(tmp_path: Path) -> None:
    kept = ["a.tmp", ".a.tmp", f"x.{'0' * 16}.tmp", "a.json"]
    for name in [*kept, f".{'0123456789abcdef'}.tmp"]:
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    remove_leftovers(tmp_path / "absent")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)
