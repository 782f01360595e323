import csv
import json
import math
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from bundle.errors import BundleError
from bundle.io.landmark_files import read_landmark_table, read_landmarks
from bundle.records.prediction import LandmarkPrediction
from bundle.records.radiograph import Radiograph, identity_pixel_to_lps
from bundle.writers.files import atomic_file, output_path, safe_image_id
from bundle.writers.result_json import SCHEMA, read_result, result_document, result_json
from bundle.writers.run_files import write_errors, write_landmarks, write_table
from bundle.writers.slicer_markups import markups_document, markups_json

SCHEMA_FILE = Path(__file__).parents[2] / "docs/schema/result-3.schema.json"


def prediction(seed=0, count=5, missing=0, **changes):
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 2000, (count, 2))
    confidence = rng.uniform(0, 1, count)
    if missing:
        points[-missing:] = np.nan
        confidence[-missing:] = np.nan
    values = {
        "image_id": f"image {seed}",
        "path": Path("/home/someone/secret/image.png"),
        "names": tuple(f"n{i}" for i in range(count)),
        "points": points,
        "similarity": rng.uniform(-1, 1, count),
        "back_match_error": rng.exponential(3, count),
        "spread": rng.exponential(3, count),
        "confidence": confidence,
        "expected_error": np.full(count, np.nan),
        "width": 2000,
        "height": 2100,
        "spacing": None,
        "spacing_source": None,
        "pixel_to_lps": identity_pixel_to_lps(),
    }
    return LandmarkPrediction(**{**values, **changes})


def oblique(seed, step=0.14):
    rng = np.random.default_rng(seed)
    axes, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return np.column_stack([axes[:, 0] * step, axes[:, 1] * step * 1.5, rng.normal(0, 500, 3)])


def radiograph(found):
    return Radiograph(np.zeros((found.height, found.width), np.float32), found.path, pixel_to_lps=found.pixel_to_lps)


# --- Atomic files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("binary, content", [(False, "zwei\r\nÄ"), (True, b"\xff\x00")])
def test_atomic_file(tmp_path, binary, content):
    path = tmp_path / "new" / "folder" / "f"
    for _ in range(2):
        with atomic_file(path, binary) as file:
            file.write(content)
        assert path.read_bytes() == (content if binary else content.encode())
        assert [p.name for p in path.parent.iterdir()] == ["f"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, BundleError])
def test_a_writer_that_raises_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "f"
    path.write_text("old")
    with pytest.raises(error), atomic_file(path) as file:
        file.write("half of the n")
        file.flush()
        raise error("stop")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


# --- Names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "image_id",
    ["", ".", "..", "../up", "a/b", "/etc/x", "a\\b", "C:x", "a\0b", "a\nb", " a", "a.", "x" * 201, "\udcff", "NUL"],
)
def test_unsafe_ids_are_refused_and_can_be_cleaned(tmp_path, image_id):
    with pytest.raises(BundleError, match="cannot be a file name"):
        output_path(tmp_path, image_id, ".json")
    cleaned = safe_image_id(image_id)
    assert output_path(tmp_path, cleaned, ".json").parent == tmp_path
    assert safe_image_id(cleaned) == cleaned


@pytest.mark.parametrize(
    "image_id", ["001", "1.2.840.10008", "Müller Röntgen", "骨盤", "-1", ".hidden", "a'b&c", "x" * 200]
)
def test_safe_ids_stay(tmp_path, image_id):
    assert safe_image_id(image_id) == image_id
    assert output_path(tmp_path, image_id, ".json") == tmp_path / f"{image_id}.json"


# --- Result -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spacing", [None, (0.1, 0.1), (0.14299999, 0.2)])
@pytest.mark.parametrize("missing", [0, 2])
def test_result_follows_the_schema_and_comes_back(tmp_path, spacing, missing):
    found = prediction(
        1, missing=missing, spacing=spacing, spacing_source=spacing and "PixelSpacing", pixel_to_lps=oblique(3)
    )
    text, path = result_json(found), tmp_path / "image 1.json"
    path.write_text(text, "utf-8")
    document = json.loads(text, parse_constant=pytest.fail)
    schema = json.loads(SCHEMA_FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(document)
    assert document["schema"] == SCHEMA == schema["properties"]["schema"]["const"]
    assert document["image"] == "image.png" and "secret" not in text
    assert (document["width"], document["height"]) == (2000, 2100)
    landmarks = read_landmarks(path, radiograph(found))
    assert landmarks.names == found.names
    np.testing.assert_allclose(landmarks.points, found.points, atol=0.00051)
    first, last = document["landmarks"][0], document["landmarks"][-1]
    np.testing.assert_allclose(first["lps"], found.pixel_to_lps @ [*found.points[0], 1], atol=1e-4)
    assert first["confidence"] == pytest.approx(found.confidence[0], abs=1e-4)
    if spacing:
        assert first["x_mm"] == pytest.approx(found.points[0, 0] * spacing[0], abs=1e-3)
        assert first["y_mm"] == pytest.approx(found.points[0, 1] * spacing[1], abs=1e-3)
        assert first["spread_mm"] == pytest.approx(found.spread[0] * np.sqrt(np.mean(np.square(spacing))), abs=1e-3)
    else:
        assert document["pixel_spacing_mm"] is first["x_mm"] is first["spread_mm"] is None
    back = read_result(document, found.path)
    assert (back.names, back.spacing, back.width) == (found.names, spacing and pytest.approx(spacing, abs=1e-6), 2000)
    np.testing.assert_array_equal(back.points, found.points.round(3))
    for name, decimals in (("similarity", 4), ("confidence", 4), ("spread", 3), ("expected_error", 3)):
        np.testing.assert_array_equal(getattr(back, name), getattr(found, name).round(decimals))
    if missing:
        assert last["x"] is last["lps"] is last["confidence"] is None


def test_a_place_in_space_has_a_unit():
    """In 3D Slicer, a PNG has one millimetre per pixel, whatever spacing was configured."""
    for spacing, geometry, unit in (
        (None, np.eye(3), "pixel"),
        ((0.1, 0.1), np.eye(3), "pixel"),
        ((0.1, 0.2), np.diag([0.1, 0.2, 1]), "mm"),
        ((0.1, 0.1), np.diag([0.14, 0.14, 1]), None),
        (None, np.full((3, 3), np.nan), None),
    ):
        found = prediction(spacing=spacing, pixel_to_lps=geometry)
        assert result_document(found)["lps_unit"] == found.lps_unit == unit
        name = markups_document(found)["markups"][0]["name"]
        assert (
            name == "image 0" + {"mm": "", "pixel": " (lengths in pixels, not mm)", None: " (lengths are not mm)"}[unit]
        )


def test_strange_text_and_numbers_in_a_result():
    found = prediction(
        names=("ä\n骨", 'b"', "\ud800", "d", "e"),
        path=Path("/x/scan\udcff.png"),
        similarity=np.array([np.inf, -np.inf, np.nan, 1.00000001, -0.0]),
    )
    document = json.loads(result_json(found))
    assert document["image"] == "scan?.png"
    assert [landmark["name"] for landmark in document["landmarks"]] == ["ä\n骨", 'b"', "?", "d", "e"]
    assert [landmark["similarity"] for landmark in document["landmarks"]] == [None, None, None, 1.0, 0.0]
    assert len(json.loads(markups_json(found))["markups"][0]["controlPoints"]) == 5


# --- 3D Slicer --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(15))
def test_markups_come_back(tmp_path, seed):
    geometry = identity_pixel_to_lps() if seed == 0 else oblique(seed, step=10.0 ** (seed % 4 - 2))
    found = prediction(seed, count=seed + 1, missing=min(seed, 2), pixel_to_lps=geometry)
    path = tmp_path / "x.mrk.json"
    path.write_text(markups_json(found), "utf-8")
    landmarks = read_landmarks(path, radiograph(found))
    assert landmarks.names == found.names
    np.testing.assert_allclose(landmarks.points, found.points, atol=1e-3)


def test_markups_are_what_slicer_expects():
    found = prediction(missing=1, confidence=np.array([0.93, 0.5, np.nan, 1.0, np.nan]))
    document = json.loads(markups_json(found), parse_constant=pytest.fail)
    assert document["@schema"].endswith("/markups-schema-v1.0.3.json#")
    (markup,) = document["markups"]
    assert (markup["type"], markup["coordinateSystem"], markup["coordinateUnits"]) == ("Fiducial", "LPS", "mm")
    assert markup["display"]["pointLabelsVisibility"] is True
    points = markup["controlPoints"]
    assert [point["label"] for point in points] == list(found.names)
    assert [point["id"] for point in points] == list("12345")
    assert [point["positionStatus"] for point in points] == ["defined"] * 4 + ["undefined"]
    assert all(len(point["position"]) == 3 and len(point["orientation"]) == 9 for point in points)
    assert points[0]["description"].startswith("confidence 0.93, similarity ")
    assert "confidence" not in points[2]["description"]
    np.testing.assert_allclose(points[0]["position"], [*found.points[0], 0], atol=1e-6)


# --- Tables -----------------------------------------------------------------------------------------------------------


def test_landmark_table_comes_back_in_the_order_of_the_run(tmp_path):
    names = ["010", "2", 'b,"c', "-7", "ä"]
    found = [prediction(seed, missing=seed % 2, image_id=name) for seed, name in enumerate(names)]
    path = write_landmarks(tmp_path, found[0].names, found)
    assert path == tmp_path / "landmarks.csv"
    lines = path.read_bytes().decode().split("\n")
    assert lines[0] == "image,n0_x,n0_y,n1_x,n1_y,n2_x,n2_y,n3_x,n3_y,n4_x,n4_y"
    assert lines[1].startswith(f"010,{found[0].points[0, 0]:.3f},{found[0].points[0, 1]:.3f},")
    assert lines[2].endswith(",,") and lines[4].startswith("'-7,") and len(lines) == 7
    back = read_landmark_table(path)
    assert list(back) == names
    for one in found:
        assert back[one.image_id].names == one.names
        np.testing.assert_allclose(back[one.image_id].points, one.points, atol=0.00051)


def test_numbers_in_a_table(tmp_path):
    rows = [(1, -0.00001, math.inf, math.nan, None, np.float64(2.5))]
    assert write_table(tmp_path / "t.csv", "abcdef", rows, ".2f").read_text() == "a,b,c,d,e,f\n1,0.00,inf,,,2.50\n"


def test_error_table(tmp_path):
    table = [
        ("a.png", "two\r\n lines,\tand a tab", "a.png", "two lines, and a tab"),
        ("=cmd|' /C calc'!A0", "+1", "'=cmd|' /C calc'!A0", "'+1"),
        ("@x", "\t=1", "'@x", "'=1"),
        ("-b.png", 'quoted "so", yes', "'-b.png", 'quoted "so", yes'),
        ("d\udcff.png", "\x1b[31m\u2028\uff1d1", "d?.png", "[31m \uff1d1"),
        ("e", "\uff1d1", "e", "'\uff1d1"),
    ]
    path = write_errors(tmp_path, [(file, reason) for file, reason, _, _ in table])
    assert path == tmp_path / "errors.csv"
    assert len(path.read_bytes().split(b"\n")) == len(table) + 2
    with path.open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["file", "reason"], *([file, reason] for _, _, file, reason in table)]


def test_tables_of_a_good_run_replace_older_ones(tmp_path):
    (tmp_path / "errors.csv").write_text("file,reason\nold,old\n")
    assert write_errors(tmp_path, []).read_text() == "file,reason\n"
    assert write_landmarks(tmp_path, ["1"], []).read_text() == "image,x1,y1\n"
    assert write_landmarks(tmp_path, ["a", "-b"], []).read_text() == "image,x1,y1,x2,y2\n", "a name may not start so"
