import re
from pathlib import Path

import pytest

from bundle.data.cases import Cases, ResultFolder
from bundle.data.journal import Journal, show_plan
from bundle.writers.result_json import result_json
from tests.writers.test_result_writers import prediction


@pytest.fixture
def cases(tmp_path: Path) -> Cases:
    items = []
    for name, data in (
        ("done", b"II*\0"),
        ("old", b"\x89PNG\r\n\x1a\n"),
        ("new", b"\xff\xd8\xff"),
        ("text", b"text"),
        ("lost", None),
    ):
        path = tmp_path / f"{name}.png"
        if data is not None:
            path.write_bytes(data)
        items.append({"image": str(path), "image_id": name})
    items.append({"image": str(tmp_path), "image_id": "folder"})
    return Cases(items, left_out={"hidden": [".x"]}, without_truth=["x", "y"])


def test_what_would_become_of_each_image(tmp_path: Path, cases: Cases, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    results = ResultFolder(
        out, tables={"landmarks.csv": True, "errors.csv": 1, "notes.csv": None}, writers=["json", "markups"]
    )
    journal = Journal(results, cases, "settings")
    journal.open()
    done = prediction(image_id="done")
    journal.append(done, 0.5, {"json": result_json(done).encode(), "markups": b"{}"})
    journal.append(prediction(image_id="old"), 0.5, {"json": b"{}", "markups": b"{}"})
    (out / "old.mrk.json").write_bytes(b"corrected by hand")
    (out / "errors.csv").touch()
    before = {path: path.stat().st_mtime_ns for path in [tmp_path, *tmp_path.rglob("*")]}
    show_plan(Journal(results, cases, "settings"))
    assert {path: path.stat().st_mtime_ns for path in [tmp_path, *tmp_path.rglob("*")]} == before
    told = [
        re.sub(r"(could not be used: )\S+ (.*?)( that can be read.*|:.*)", r"\1\2", line)
        for line in capsys.readouterr().out.splitlines()
    ]
    assert told[1:] == [
        f"{tmp_path}/done.png -> done.json, done.mrk.json: done already",
        f"{tmp_path}/old.png -> old.json, old.mrk.json: would be done anew, replacing its files",
        f"{tmp_path}/new.png -> new.json, new.mrk.json: would be done",
        f"{tmp_path}/text.png -> text.json, text.mrk.json: could not be used: is named .png but holds no image",
        f"{tmp_path}/lost.png -> lost.json, lost.mrk.json: could not be used: does not exist",
        f"{tmp_path} -> folder.json, folder.mrk.json: could not be used: is not a file",
        ".x: hidden",
        "x: left out, it has no true landmarks",
        "y: left out, it has no true landmarks",
        f"{out}/old.mrk.json: changed by somebody since a run wrote it, so that the run would not begin",
        f"{out}/landmarks.csv: would be new",
        f"{out}/errors.csv: would be replaced",
        f"{out}/checksums.sha256: would be new",
        "dry run of 6 image(s): 1 done already, 1 would be done anew, replacing its files, 1 would be done, "
        f"3 could not be used, 1 hidden, 2 left out, it has no true landmarks; nothing was written to {out}",
    ]
