"""What a journal gives back, and what it does not take for its own."""

from __future__ import annotations

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
