"""What a journal gives back, and what it does not take for its own."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundle.data import Cases, Failures, Journal
from bundle.errors import BundleError, ConfigError


@pytest.fixture
def cases(tmp_path: Path) -> Cases:
    items = []
    for name in "abcd":
        path = tmp_path / f"{name}.png"
        path.write_text(name)
        items.append({"image": str(path), "image_id": name, "label": np.array([[1.5, 2.5]])})
    return Cases(items)


def journal_of(folder: Path, cases: Cases, **settings: Any) -> Journal:
    return Journal(folder / "out", cases, {"model": 1, **settings})


def begin(folder: Path, cases: Cases, *ids: str, **settings: Any) -> Journal:
    """A run that was killed after these images."""
    journal = journal_of(folder, cases, **settings)
    journal.open()
    for name in ids:
        journal.append(name, {"value": [ord(name) / 3, float("nan")]})
    return journal


def left(journal: Journal) -> list[str]:
    return [item["image_id"] for item in journal.remaining]


def test_a_run_goes_on_where_it_stopped(tmp_path: Path, cases: Cases, capsys: pytest.CaptureFixture[str]) -> None:
    begin(tmp_path, cases, "c", "a")
    again = journal_of(tmp_path, cases)
    assert (left(again), again.done) == (["b", "d"], 2)
    assert "2 of 4 images" in capsys.readouterr().out
    np.testing.assert_array_equal(again.earlier("value"), [[97 / 3, np.nan], [99 / 3, np.nan]])
    again.open()
    for name in "db":
        again.append(name, {"value": [ord(name) / 3, 0.0]})
    assert again.count_new() == 2
    rows, failures = again.merge(Failures())
    assert [row["image_id"] for row in rows] == list("abcd") and len(failures) == 0
    assert [row["value"][0] for row in rows] == [ord(name) / 3 for name in "abcd"], "to the last bit"
    again.remove()
    assert list((tmp_path / "out").iterdir()) == []
    assert left(journal_of(tmp_path, cases)) == list("abcd"), "after a complete run everything starts afresh"


@pytest.mark.parametrize("lost", [1, 10, 60])
def test_a_line_that_was_half_written(lost: int, tmp_path: Path, cases: Cases) -> None:
    path = begin(tmp_path, cases, "a", "b").path
    path.write_bytes(path.read_bytes()[:-lost])
    again = journal_of(tmp_path, cases)
    assert left(again) == (["b", "c", "d"] if lost > 1 else ["c", "d"])
    again.open()
    for name in left(again):
        again.append(name, {"value": [0.0, 0.0]})
    rows, _ = again.merge(Failures())
    assert [row["image_id"] for row in rows] == list("abcd")


def test_a_head_that_was_half_written(tmp_path: Path, cases: Cases) -> None:
    path = begin(tmp_path, cases).path
    path.write_bytes(path.read_bytes()[:9])
    again = begin(tmp_path, cases, "a")
    assert left(again) == list("abcd") and left(journal_of(tmp_path, cases)) == list("bcd")


def test_the_journal_of_another_run(tmp_path: Path, cases: Cases, capsys: pytest.CaptureFixture[str]) -> None:
    begin(tmp_path, cases, "a", "b")
    other = journal_of(tmp_path, cases, model=2)
    assert left(other) == list("abcd")
    told = capsys.readouterr().out
    assert len(told.splitlines()) == 1 and "other settings" in told
    other.open()
    assert len(list((tmp_path / "out").iterdir())) == 1
    assert left(journal_of(tmp_path, cases)) == list("abcd"), "it is gone"


def test_an_image_that_has_changed_is_done_again(tmp_path: Path, cases: Cases) -> None:
    begin(tmp_path, cases, *"abcd")
    os.utime(cases.items[0]["image"], ns=(1, 1))
    cases.items[1]["label"] = np.array([[1.5, 2.0]])
    cases.items[2]["pixel_spacing"] = 0.1
    again = journal_of(tmp_path, cases)
    assert left(again) == list("abc")
    again.open()
    for name in "abc":
        again.append(name, {"value": [0.0, 0.0]})
    rows, _ = again.merge(Failures())
    assert [row["value"][0] for row in rows] == [0.0, 0.0, 0.0, 100 / 3]


def test_images_that_came_and_went(tmp_path: Path, cases: Cases) -> None:
    begin(tmp_path, cases, "a", "b")
    cases.items = cases.items[1:]
    again = journal_of(tmp_path, cases)
    assert (left(again), again.done) == (["c", "d"], 1)


def test_the_journal_of_a_rank_that_there_is_no_more(tmp_path: Path, cases: Cases) -> None:
    path = begin(tmp_path, cases, "a").path
    path.rename(path.with_name("journal-7.jsonl"))
    again = begin(tmp_path, cases, "b")
    assert again.done == 1
    with pytest.raises(BundleError, match="have done 4"):
        again.merge(Failures())
    failures = Failures([("x/d", "late"), (cases.items[3]["image"], "d is broken."), (cases.items[2]["image"], "c.")])
    again = journal_of(tmp_path, cases)
    rows, sorted_failures = again.merge(failures)
    assert [row["image_id"] for row in rows] == ["a", "b"]
    assert [Path(file).name for file, _ in sorted_failures.rows] == ["c.png", "d.png", "d"]


def test_it_has_to_be_open(tmp_path: Path, cases: Cases) -> None:
    with pytest.raises(RuntimeError, match="not open"):
        journal_of(tmp_path, cases).append("a", {})


def test_a_folder_that_cannot_be_made(tmp_path: Path, cases: Cases) -> None:
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(BundleError, match="cannot be written"):
        journal_of(tmp_path, cases).open()


def test_processes_without_the_overlay(tmp_path: Path, cases: Cases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    journal_of(tmp_path, cases)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    with pytest.raises(ConfigError, match=r"multi_gpu_inference\.json"):
        journal_of(tmp_path, cases)


def test_rows_are_read_when_they_are_asked_for(tmp_path: Path, cases: Cases) -> None:
    journal = begin(tmp_path, cases, *"cab")
    rows, _ = journal.merge(Failures([(cases.items[3]["image"], "d.")]))
    assert len(rows) == 3 and rows[1]["image_id"] == "b" and rows[-1]["image_id"] == "c"
    assert [row["image_id"] for row in rows[1:]] == ["b", "c"] and "item" not in rows[0]
    assert [row["image_id"] for row in rows] == [row["image_id"] for row in rows] == list("abc"), "as often as wanted"
    with pytest.raises(IndexError):
        rows[3]


class NearlyFull:
    """A file on a disk with room for some bytes, which then writes parts, as the system does."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.written = b""

    def write(self, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        part = data[: min(self.room, 10)]
        self.room -= len(part)
        self.written += part
        return len(part)

    def close(self) -> None: ...


@pytest.mark.parametrize(("room", "fits"), [(10_000, True), (15, False), (0, False)])
def test_a_disk_that_fills_up(room: int, fits: bool, tmp_path: Path, cases: Cases) -> None:
    journal = begin(tmp_path, cases, "a")
    journal._file.close()
    journal._file = NearlyFull(room)  # type: ignore[assignment]
    if fits:
        journal.append("b", {"value": [1.0, 2.0]})
        assert journal._file.written.endswith(b'"value": [1.0, 2.0]}\n')  # type: ignore[union-attr]
    else:
        with pytest.raises(
            BundleError, match=r"cannot be written \(No space left on device\): .*the space on the disk"
        ):
            journal.append("b", {"value": [1.0, 2.0]})
    assert left(journal_of(tmp_path, cases)) == list("bcd")


def test_two_runs_do_not_write_into_one_folder(tmp_path: Path, cases: Cases) -> None:
    first = begin(tmp_path, cases, "a")
    with pytest.raises(ConfigError, match="is in use by another run"):
        journal_of(tmp_path, cases).open()
    first.append("b", {"value": [0.0, 0.0]})
    first.merge(Failures([(item["image"], ".") for item in cases.items[2:]]))
    journal_of(tmp_path, cases).open()


def test_a_link_in_the_place_of_the_journal_is_not_followed(tmp_path: Path, cases: Cases) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "precious").write_text("old")
    (tmp_path / "out" / "journal-0.jsonl").symlink_to(tmp_path / "precious")
    with pytest.raises(BundleError, match="cannot be written"):
        journal_of(tmp_path, cases).open()
    assert (tmp_path / "precious").read_text() == "old"


@pytest.mark.parametrize("line", [b'{"image_id": []}', b'{"image_id": "a"}', b"[" * 100_000, b"\xff\xfe", b"null"])
def test_lines_that_nobody_wrote(line: bytes, tmp_path: Path, cases: Cases) -> None:
    path = begin(tmp_path, cases, "b").path
    with path.open("ab") as file:
        file.write(line + b"\n")
    assert left(journal_of(tmp_path, cases)) == list("acd")
