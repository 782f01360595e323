"""The study folder: two programs on one folder, kills, and what is refused."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bundle.errors import BundleError
from study import DRAFT, FINAL, Mark, NotReplaced, Protocol, Study
from study.journal import entries
from study.protocol import read_protocol, shipped_protocols
from tests.conftest import ROOT, as_nobody

NAMES = ("a", "b", "c")
MARKS = [
    Mark("a", (10.25, 20.5), "placed"),
    Mark("b", (30.0, 4.125), "proposed", locked=True),
    Mark("c", None, "not visible"),
]


@pytest.fixture
def study(tmp_path: Path) -> Study:
    folder = tmp_path / "study"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("one.png", "two.PNG", "three.tif"):
        Image.fromarray(rng.integers(0, 255, (60, 50), dtype=np.uint8)).save(folder / name)
    (folder / "notes.txt").write_text("no image", encoding="utf-8")
    found = Study(folder)
    found.save_protocol(Protocol.of(NAMES))
    return found


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises(BundleError) as caught:
        action()
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence, sentence
    return sentence


def test_landmarks_keep_their_states(study: Study) -> None:
    version = study.save_marks("one", MARKS, FINAL, "", by="anna")
    assert study.marks("one") == MARKS
    assert version == study.version("one") and len(version) == 16
    again = Study(study.folder)
    assert [case.image_id for case in again.annotated()] == ["one"] and again.marks("one") == MARKS
    assert [(entry["action"], entry.get("by")) for entry in entries(study.journal)] == [
        ("protocol", None),
        ("saved", "anna"),
    ]


def test_nobody_replaces_what_they_have_not_seen(study: Study) -> None:
    first = study.save_marks("one", MARKS, FINAL, "")
    other = Study(study.folder)
    second = other.save_marks("one", [*MARKS[:2], Mark("c", (1.0, 1.0), "placed")], FINAL, first)
    with pytest.raises(NotReplaced) as caught:
        study.save_marks("one", MARKS, FINAL, first)
    assert (caught.value.version, caught.value.given) == (second, first)
    study.remove("one")
    assert "none any more" in refusal(lambda: other.save_marks("one", MARKS, FINAL, second))
    kept = list((study.folder / "labels" / "final" / "replaced").iterdir())
    assert len(kept) == 2, "the replaced one and the removed one"


def test_a_draft_may_lack_what_an_annotation_may_not(study: Study) -> None:
    some = [MARKS[0], Mark("b"), Mark("c")]
    version = study.save_marks("one", some, DRAFT, "")
    assert study.marks("one", DRAFT) == some and study.annotated() == []
    assert "not every landmark" in refusal(lambda: study.save_marks("one", some, FINAL, ""))
    outside = [Mark("a", (70.0, 1.0), "placed"), *MARKS[1:]]
    assert "outside the image" in refusal(lambda: study.save_marks("one", outside, FINAL, ""))
    assert "without c" in refusal(lambda: study.save_marks("one", MARKS[:2], FINAL, ""))
    study.save_marks("one", MARKS, DRAFT, version)


def test_points_of_other_programs(study: Study, tmp_path: Path) -> None:
    for name, text in (
        ("p.csv", "name,x,y\na,1,2\nb,3,4\nc,,\n"),
        ("p.json", json.dumps({"landmarks": [{"name": n, "x": 5, "y": 6} for n in NAMES]})),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
        study.save_file("two", tmp_path / name, FINAL, study.version("two"))
    assert study.marks("two") == [Mark(name, (5.0, 6.0), "placed") for name in NAMES]
    assert "no image" in refusal(lambda: study.save_file("../one", tmp_path / "p.csv", FINAL, ""))
    assert "small letters" in refusal(lambda: study.save_file("two", tmp_path / "p.csv", "../x", ""))


def test_names_are_those_of_the_protocol(study: Study, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("name,x,y\na,1,2\nz,3,4\nc,5,6\n", encoding="utf-8")
    assert "unknown z" in refusal(lambda: study.save_file("one", tmp_path / "p.csv", FINAL, ""))
    study.save_marks("one", MARKS, FINAL, "")
    assert "other names" in refusal(lambda: study.save_protocol(Protocol.of(("x", "y", "z"))))
    study.save_protocol(Protocol.of(("c", "b", "a")))


def test_a_pixel_may_be_given_a_size(study: Study) -> None:
    assert study.geometry("one").spacing is None
    study.save_spacing("one", 0.125)
    assert study.geometry("one").spacing == (0.125, 0.125) == study.radiograph("one").spacing
    assert study.geometry("two").spacing is None
    study.save_spacing("two", 0.25, others=True)
    sizes = {name: study.geometry(name).spacing for name in study.images()}
    assert sizes == {"one": (0.125, 0.125), "two": (0.25, 0.25), "three": (0.25, 0.25)}, "what is known stays"
    assert sorted(study.save_spacing("three", 0.5, others=True)) == ["three", "two"], "the same again, corrected"
    sizes = {name: study.geometry(name).spacing for name in study.images()}
    assert sizes == {"one": (0.125, 0.125), "two": (0.5, 0.5), "three": (0.5, 0.5)}, "what one image was given stays"
    assert "positive number" in refusal(lambda: study.save_spacing("one", -1.0))


def test_an_image_that_is_gone(study: Study) -> None:
    study.save_marks("one", MARKS, FINAL, "")
    (study.folder / "one.png").unlink()
    assert "removed" in refusal(lambda: study.save_marks("one", MARKS, FINAL, study.version("one")))
    assert study.annotated() == [] and study.label_file("one").is_file(), "the annotation stays"


def test_a_folder_that_may_not_be_written(study: Study, tmp_path: Path) -> None:
    study.geometry("one")  # the decoder's process belongs to the user who started it
    for folder in (study.folder, study.own):
        folder.chmod(0o555)
    (study.own / ".lock").unlink()

    def act() -> None:
        assert study.marks("one") is None, "reading works"
        assert "cannot be changed" in refusal(lambda: study.save_marks("one", MARKS, FINAL, ""))

    as_nobody(act, tmp_path)


def test_a_full_disk(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    version = study.save_marks("one", MARKS, FINAL, "")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "No space left" in refusal(lambda: study.save_marks("one", MARKS[::-1], FINAL, version))
    monkeypatch.undo()
    assert study.marks("one") == MARKS and study.version("one") == version


PROGRAM = """
import sys
from study import FINAL, Mark, Study
study, number = Study(sys.argv[1]), int(sys.argv[2])
while True:
    number += 1
    marks = [Mark(name, (number % 40, 7.0), "placed") for name in "abc"]
    print(number, study.save_marks("one", marks, FINAL, study.version("one")), flush=True)
"""


def test_nothing_that_was_saved_is_lost_by_a_kill(study: Study) -> None:
    number, rng = 0, np.random.default_rng(1)
    for _ in range(4):
        line = [sys.executable, "-c", PROGRAM, str(study.folder), str(number)]
        with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(rng.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
            said = process.stdout.read().splitlines()
        found = study.marks("one")
        assert found is not None and found[0].point is not None
        if said and len(said[-1].split()) == 2:
            number = int(said[-1].split()[0])
            assert found[0].point[0] in (number % 40, (number + 1) % 40), "what was said to be saved, or the next"
        study.save_marks("two", MARKS, FINAL, study.version("two"))
    saved = [entry["version"] for entry in entries(study.journal) if entry["action"] == "saved"]
    assert study.version("two") == saved[-1]


def test_shipped_protocols() -> None:
    for name, count in (("cephalometry-19", 19), ("hand-37", 37)):
        protocol = read_protocol(shipped_protocols()[name])
        assert len(protocol.names) == count
        assert all(one.definition.endswith(".") and one.abbreviation for one in protocol.landmarks)
        assert len({one.abbreviation for one in protocol.landmarks}) == count
