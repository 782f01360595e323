"""Whatever a stranger writes into names and landmark files, it is read or refused, and harmless where it is written."""

import csv
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundle.data.cases import collect_cases
from bundle.errors import BundleError, LandmarkError, one_line
from bundle.io.folders import image_ids
from bundle.io.landmark_files import read_landmark_table, read_landmarks
from bundle.records.landmarks import MAX_COORDINATE, LandmarkSet
from bundle.records.names import MAX_ID_BYTES, safe_image_id
from bundle.records.radiograph import Radiograph
from bundle.writers.files import output_path
from bundle.writers.run_files import write_errors, write_landmarks
from tests.writers.test_result_writers import prediction

settings.register_profile("steady", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("steady")

#: Names that a spreadsheet, a terminal or a file system would take for something else, among all others.
HOSTILE = st.sampled_from(
    [
        "=1+1",
        "@SUM(1)",
        "+cmd|'/C calc'!A0",
        "../../x",
        "a/../b",
        "con",
        " ",
        "\u202egnp",
        "\x1b[2J",
        "'=1",
        "\t=1",
        "\udcff",
    ]
)
NAMES = HOSTILE | st.text(max_size=300)
NUMBERS = st.floats() | st.integers() | st.none() | st.booleans() | st.text(max_size=5)
JSON = st.recursive(
    NUMBERS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=20
)
LISTED = st.lists(st.fixed_dictionaries({"name": NAMES, "x": NUMBERS, "y": NUMBERS}), max_size=4)
CONTROL = st.fixed_dictionaries({"label": NAMES | JSON, "position": st.lists(NUMBERS, max_size=4) | JSON})
MARKUP = st.fixed_dictionaries(
    {
        "type": st.just("Fiducial") | JSON,
        "controlPoints": st.lists(CONTROL, max_size=3) | JSON,
        "coordinateSystem": JSON,
    }
)
DOCUMENTS = (
    JSON
    | st.fixed_dictionaries({"landmarks": LISTED | JSON})
    | st.dictionaries(NAMES, st.lists(NUMBERS, min_size=2, max_size=2), max_size=4)
    | st.fixed_dictionaries({"markups": st.lists(MARKUP, max_size=2) | JSON})
)
TABLES = st.lists(st.lists(NAMES | st.floats().map(str), max_size=5), max_size=5)
HEADERS = st.sampled_from([["name", "x", "y"], ["image", "x1", "y1"], ["image", "a_x", "a_y"], ["x", "name", "y", "z"]])


def check(landmarks: LandmarkSet) -> None:
    """What every set of landmarks promises to whoever writes it."""
    known = landmarks.points[~landmarks.missing]
    assert np.isfinite(known).all() and (np.abs(known) <= MAX_COORDINATE).all()
    for name in landmarks.names:
        assert name.strip() and one_line(name) == " ".join(name.split()) and not name.startswith(("=", "@"))


def read_either_way(path: Path) -> None:
    image = Radiograph(np.zeros((40, 50), np.float32), path.with_name("001.png"))
    for read in (lambda: [read_landmarks(path, image)], lambda: list(read_landmark_table(path).values())):
        try:
            found = read()
        except LandmarkError as error:
            assert "\n" not in str(error) and str(error).endswith(".")
        else:
            for landmarks in found:
                check(landmarks)


@given(DOCUMENTS, st.sampled_from([".json", ".mrk.json"]))
def test_json(document: Any, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{suffix}"
        path.write_text(json.dumps(document), encoding="utf-8")
        read_either_way(path)


@given(HEADERS, TABLES)
def test_csv(header: list[str], rows: list[list[str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
            csv.writer(file).writerows([header, *rows])
        read_either_way(path)


@given(JSON | st.lists(NAMES | st.fixed_dictionaries({"image": NAMES | JSON, "pixel_spacing": JSON}), max_size=4))
def test_data_lists(document: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        try:
            cases = collect_cases(path)
        except BundleError as error:
            assert str(error).endswith(".")
            return
        for item in cases.items:
            assert output_path(folder, item["image_id"], ".png").parent == Path(folder)


@given(st.lists(NAMES.filter(lambda name: name.strip() and "\0" not in name), min_size=1, max_size=6, unique=True))
def test_every_image_gets_a_name_of_its_own(names: list[str]) -> None:
    paths = sorted({Path("/data") / name for name in names})
    ids = image_ids(paths, "/data")
    assert len({name.casefold() for name in ids}) == len(paths)
    for name in ids:
        assert safe_image_id(name) == name and len(name.encode()) <= MAX_ID_BYTES


@given(st.lists(st.tuples(NAMES, NAMES), max_size=5))
def test_no_cell_of_a_table_is_a_formula(failures: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        names = {safe_image_id(file) for file, _ in failures}
        found = [prediction(count=1, points=np.array([[1.0, np.nan]]), image_id=name) for name in names]
        columns = [one_line(reason) for _, reason in failures[:1]] or ["1"]
        for path in (write_errors(Path(folder), failures), write_landmarks(Path(folder), columns, found)):
            text = path.read_text(encoding="utf-8")
            with path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.reader(file))
            assert len(rows) == len(text.splitlines()), "one line a row"
            assert not [cell for row in rows for cell in row if cell.startswith(("=", "@", "+", "-", "\t", "\r"))]


@pytest.mark.parametrize("depth", [100, 1000, 100_000])
def test_deep_nesting(depth: int, tmp_path: Path) -> None:
    for name, text in (("a.json", '{"a":' * depth + "1" + "}" * depth), ("b.json", "[" * depth + "]" * depth)):
        (tmp_path / name).write_text(text)
        read_either_way(tmp_path / name)
        with pytest.raises(BundleError):
            collect_cases(tmp_path / name)


def test_a_million_points(tmp_path: Path) -> None:
    many = 1_000_000
    (tmp_path / "pairs.json").write_text("{" + ",".join(f'"{n}":[1,2]' for n in range(20_000)) + "}")
    (tmp_path / "rows.csv").write_text("name,x,y\n" + "".join(f"{n},1,2\n" for n in range(many)))
    (tmp_path / "wide.csv").write_text("image" + ",x1,y1" * many + "\n")
    (tmp_path / "large.json").write_text('{"landmarks":[' + '{"name":"a","x":1,"y":2},' * many + "]}")
    image = Radiograph(np.zeros((40, 50), np.float32), tmp_path / "a.png")
    for name, said in (
        ("pairs.json", "expected at most 10000 items"),
        ("rows.csv", "10001 landmarks, more than the 10000"),
        ("wide.csv", "too many for landmarks"),
        ("large.json", "has 24 MB, more than the 16 MB"),
    ):
        with pytest.raises(LandmarkError, match=said):
            read_landmarks(tmp_path / name, image)


@pytest.mark.parametrize("number", ["1e10", "-1e300", "9" * 400, "1e999", "-Infinity"])
def test_huge_numbers(number: str, tmp_path: Path) -> None:
    image = Radiograph(np.zeros((40, 50), np.float32), tmp_path / "a.png")
    (tmp_path / "a.json").write_text(f'{{"a": [{number}, 2]}}')
    (tmp_path / "a.csv").write_text(f"name,x,y\na,{number},2\n")
    (tmp_path / "a.mrk.json").write_text(
        json.dumps(
            {"markups": [{"type": "Fiducial", "controlPoints": [{"label": "a", "position": [1, 2, 3]}]}]}
        ).replace("[1, 2, 3]", f"[1, {number}, 3]")
    )
    for name in ("a.json", "a.csv", "a.mrk.json"):
        with pytest.raises(LandmarkError, match=r"(finite|1e\+09 was expected|expected a number)"):
            read_landmarks(tmp_path / name, image)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("=HYPERLINK(1)", "formula"),
        ("+cmd|'/C calc'!A0", "formula"),
        ("../../etc/passwd", "leads out of a folder"),
        ("a\x1b[2J", "control characters"),
        ("x" * 201, "201 characters"),
    ],
)
def test_hostile_names_of_landmarks(name: str, said: str, tmp_path: Path) -> None:
    image = Radiograph(np.zeros((40, 50), np.float32), tmp_path / "a.png")
    (tmp_path / "a.json").write_text(json.dumps({name: [1, 2]}))
    control = {"label": name, "position": [1, 2, 0]}
    (tmp_path / "a.mrk.json").write_text(json.dumps({"markups": [{"type": "Fiducial", "controlPoints": [control]}]}))
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["name", "x", "y"], [name, 1, 2]])
    for file_name in ("a.json", "a.mrk.json", "a.csv"):
        with pytest.raises(LandmarkError, match=said):
            read_landmarks(tmp_path / file_name, image)
