import csv
import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from bundle.errors import ConfigError
from bundle.measurements import MeasurementPlan, read_measurements
from bundle.measurements.plan import DEVIATION_OF_MEAN_DISTANCE
from bundle.records.prediction import LandmarkPrediction, MeasuredValue
from bundle.records.radiograph import identity_pixel_to_lps

SCHEMA = "one-shot-landmarks/measurements/1"
ROOT = Path(__file__).parents[2]
REAL = Path(os.environ.get("OSL_REAL_DATA", ""))
NAMES = ("a", "b", "c", "d")
SQUARE = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 3.0], [0.0, 3.0]])


def predicted(points: Any, spacing: Any = (1.0, 1.0), error: Any = math.nan) -> LandmarkPrediction:
    points = np.array(points, dtype=np.float64)
    known = np.zeros(len(points))
    return LandmarkPrediction(
        image_id="x",
        path=Path("x.png"),
        names=tuple(f"{i}" for i in range(len(points))),
        points=points,
        similarity=known,
        back_match_error=known,
        spread=known,
        confidence=known,
        expected_error=np.broadcast_to(np.asarray(error, dtype=np.float64), (len(points),)),
        width=100,
        height=100,
        spacing=spacing,
        spacing_source=spacing and "config",
        pixel_to_lps=identity_pixel_to_lps(),
    )


def plan(folder: Path, *definitions: dict[str, Any], names: tuple[str, ...] = NAMES, **more: Any) -> MeasurementPlan:
    document = {
        "schema": SCHEMA,
        "measurements": [{"name": f"m{i}", **definition} for i, definition in enumerate(definitions)],
        **more,
    }
    path = folder / "measurements.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    schema = json.loads((ROOT / "docs/schema/measurements-1.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(document)
    return read_measurements(path, names)


def one(folder: Path, definition: dict[str, Any], *args: Any, **kwargs: Any) -> MeasuredValue:
    return plan(folder, definition).measure(predicted(*args, **kwargs))[0]


KINDS: list[tuple[dict[str, Any], str, float]] = [
    ({"kind": "distance", "points": ["a", "c"]}, "mm", 5.0),
    ({"kind": "distance", "points": ["a", "c"], "signed_along": ["b", "a"]}, "mm", -5.0),
    ({"kind": "angle", "vertex": "a", "arms": ["b", "d"]}, "deg", 90.0),
    ({"kind": "angle", "vertex": 0, "arms": [1, 2]}, "deg", math.degrees(math.atan2(3, 4))),
    ({"kind": "angle_between_lines", "lines": [["a", "b"], ["c", "d"]]}, "deg", 180.0),
    ({"kind": "angle_between_lines", "lines": [["a", "b"], ["a", "d"]]}, "deg", 90.0),
    ({"kind": "angle_between_lines", "lines": [["a", "b"], ["d", "b"]], "positive_towards": "d"}, "deg", -36.8698976),
    ({"kind": "angle_between_lines", "lines": [["a", "b"], ["a", "c"]], "positive_towards": "d"}, "deg", 36.8698976),
    ({"kind": "perpendicular", "point": "c", "line": ["a", "b"]}, "mm", 3.0),
    ({"kind": "perpendicular", "point": "b", "line": ["a", "c"], "positive_towards": "d"}, "mm", -2.4),
    ({"kind": "projection", "points": ["d", "b"], "line": ["a", "c"]}, "mm", 1.4),
    ({"kind": "projection", "points": ["b", "d"], "line": ["a", "c"]}, "mm", -1.4),
]


@pytest.mark.parametrize(("definition", "unit", "expected"), KINDS)
def test_each_kind_whichever_way_the_patient_looks(
    tmp_path: Path, definition: dict[str, Any], unit: str, expected: float
) -> None:
    """As it is; and mirrored, turned and moved, where lengths scale with the pixels."""
    turn = np.array([[math.cos(1.0), -math.sin(1.0)], [math.sin(1.0), math.cos(1.0)]])
    for points, step in ((SQUARE, 1.0), ((SQUARE * [-1, 1]) @ turn.T + [70, 30], 0.5)):
        value = one(tmp_path, definition, points, (step, step))
        assert (value.unit, value.note) == (unit, None)
        assert value.value == pytest.approx(expected * (step if unit == "mm" else 1.0), abs=1e-6)
        assert math.isnan(value.uncertainty), "nothing is known of the errors"


def test_without_a_spacing_the_proportion_of_a_pixel_counts(tmp_path: Path) -> None:
    measure = plan(
        tmp_path,
        {"kind": "angle", "vertex": "a", "arms": ["b", "c"]},
        {"kind": "distance", "points": ["a", "c"]},
        {"kind": "distance", "points": ["a", "b"]},
        {"kind": "ratio", "numerator": "m1", "denominator": "m2"},
        {"kind": "sum", "terms": {"m1": 1, "m2": 1}},
    ).measure
    in_mm = measure(predicted(SQUARE / [0.4, 0.8], (0.4, 0.8), 1.0))
    assert in_mm[0].value == pytest.approx(math.degrees(math.atan2(3, 4))), "the angle is that of the body"
    unknown = replace(predicted(SQUARE / [0.4, 0.8], None, 1.0), aspect=2.0)
    by_aspect, square = measure(unknown), measure(replace(unknown, aspect=1.0))
    for index in (0, 3):
        assert by_aspect[index].value == pytest.approx(in_mm[index].value) != square[index].value
        assert by_aspect[index].uncertainty == pytest.approx(in_mm[index].uncertainty)
    for index in (1, 2, 4):
        assert by_aspect[index].note == "the pixel spacing is unknown"
        assert math.isnan(by_aspect[index].value) and math.isnan(by_aspect[index].uncertainty)


def test_sums_and_ratios_of_measurements_that_come_later(tmp_path: Path) -> None:
    total, parts, *_ = plan(
        tmp_path,
        {"kind": "sum", "terms": {"m2": 2, "m3": -1}, "constant": 10},
        {"kind": "ratio", "numerator": "m2", "denominator": "m3"},
        {"kind": "distance", "points": ["a", "b"], "hidden": True},
        {"kind": "distance", "points": ["a", "d"]},
    ).measure(predicted(SQUARE))
    assert (total.value, total.unit) == (pytest.approx(2 * 4 - 3 + 10), "mm")
    assert parts.value == pytest.approx(4 / 3)
    assert total.segments == ((0, 1), (0, 3)), "what was measured can be shown"


def test_what_cannot_be_measured_says_why(tmp_path: Path) -> None:
    definitions = (
        {"kind": "angle", "vertex": "a", "arms": ["b", "c"]},
        {"kind": "distance", "points": ["a", "b"]},
        {"kind": "distance", "points": ["c", "d"]},
        {"kind": "ratio", "numerator": "m2", "denominator": "m1"},
        {"kind": "projection", "points": ["a", "d"], "line": ["a", "b"], "hidden": True},
        {"kind": "ratio", "numerator": "m2", "denominator": "m4"},
    )
    points = SQUARE.copy()
    points[1] = np.nan
    measured = plan(tmp_path, *definitions).measure(predicted(points, error=1.0))
    gone = "landmark b is missing"
    assert [value.note for value in measured] == [gone, gone, None, gone, gone]
    points[1] = points[0]
    together = plan(tmp_path, *definitions).measure(predicted(points))
    assert together[0].note == "two of its landmarks lie on one another"
    square = plan(tmp_path, *definitions).measure(predicted(SQUARE))
    assert square[-1].note == "the denominator is zero", "the projection of a side on the other"


COMPOSED = (
    *(definition for definition, _, _ in KINDS),
    {"kind": "ratio", "numerator": "m0", "denominator": "m8"},
    {"kind": "sum", "terms": {"m3": 1, "m7": -0.5}, "constant": 3},
)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.1, 0.25), None])
def test_uncertainty_is_what_a_simulation_gives(tmp_path: Path, spacing: Any) -> None:
    """Errors of known mean distance are put on the points; landmarks in general position, so that no angle is at 0."""
    points = np.array([[100.0, 120.0], [420.0, 90.0], [380.0, 360.0], [60.0, 300.0]])
    error = np.array([1.0, 3.0, 0.5, 2.0])
    measured = plan(tmp_path, *COMPOSED)
    found = measured.measure(predicted(points, spacing, error))
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(400, 4, 2)) * (error * DEVIATION_OF_MEAN_DISTANCE)[:, None]
    np.testing.assert_allclose(np.linalg.norm(noise, axis=2).mean(axis=0), error, rtol=0.13)
    simulated = np.array([[v.value for v in measured.measure(predicted(points + one, spacing))] for one in noise])
    for value, deviation in zip(found, simulated.std(axis=0)):
        if math.isfinite(value.value):
            assert value.uncertainty == pytest.approx(deviation, rel=0.13), value.name
        else:
            assert math.isnan(value.uncertainty)


def test_uncertainty_needs_the_errors_of_its_own_landmarks_only(tmp_path: Path) -> None:
    measured = plan(tmp_path, {"kind": "distance", "points": ["a", "b"]}, {"kind": "distance", "points": ["a", "c"]})
    first, second = measured.measure(predicted(SQUARE, error=[1.0, 1.0, math.nan, math.nan]))
    assert first.uncertainty == pytest.approx(math.sqrt(2) * DEVIATION_OF_MEAN_DISTANCE)
    assert math.isnan(second.uncertainty)


def test_a_difference_of_angles_knows_what_they_share(tmp_path: Path) -> None:
    """ANB by way of SNA and SNB depends on nasion less than both, and on sella not at all."""
    measured = plan(
        tmp_path,
        {"kind": "angle", "vertex": "a", "arms": ["d", "b"]},
        {"kind": "angle", "vertex": "a", "arms": ["d", "c"]},
        {"kind": "sum", "terms": {"m0": 1, "m1": -1}},
        {"kind": "angle", "vertex": "a", "arms": ["b", "c"]},
    ).measure(predicted(SQUARE, error=[1.0, 2.0, 3.0, 4.0]))
    assert measured[2].value == pytest.approx(measured[3].value)
    assert measured[2].uncertainty == pytest.approx(measured[3].uncertainty)


def test_classes_and_normal_range(tmp_path: Path) -> None:
    definition = {
        "kind": "distance",
        "points": ["a", "b"],
        "normal_range": [3, 4],
        "classes": [
            {"label": "normal", "from": 3, "to": 4},
            {"label": "long", "from": 4},
            {"label": "short", "to": 2},
        ],
    }
    measured = plan(tmp_path, definition)
    for length, label, normal in ((4, "normal", True), (4.001, "long", False), (2.5, None, False), (2, "short", False)):
        (value,) = measured.measure(predicted(SQUARE * [length / 4, 1]))
        assert (value.category, value.normal) == (label, normal)
    (value,) = measured.measure(predicted(SQUARE * np.nan))
    assert (value.category, value.normal) == (None, None)


BAD: dict[str, tuple[Any, str]] = {
    "not there": ("", "measurements is .*cannot be read"),
    "no json": ("{", "line 1"),
    "a list": ("[]", "expected an object of names and values"),
    "bytes": ("\udcff", "no UTF-8 text"),
    "twice": ('{"schema": 1, "schema": 2}', "'schema' is used more than once"),
    "schema": ({"schema": "x", "measurements": []}, "schema is 'x'"),
    "nothing": ({"schema": SCHEMA}, "measurements is missing"),
    "unknown key": ({"schema": SCHEMA, "measurements": [], "formula": "a+b"}, "has no key 'formula'"),
    "empty": ({"schema": SCHEMA, "measurements": []}, "at least 1 item"),
    "count": ({"schema": SCHEMA, "landmark_count": 19, "measurements": []}, "landmark_count is 19, expected 4"),
    "short name": (
        {"schema": SCHEMA, "landmarks": {"S": 9}, "measurements": []},
        "landmarks.S is 9, expected a landmark of the template",
    ),
    "taken name": (
        {"schema": SCHEMA, "landmarks": {"a": 1}, "measurements": []},
        "expected 'a' to mean the template's landmark",
    ),
}
BAD_ENTRIES: dict[str, tuple[Any, str]] = {
    "kind": ({"kind": "eval"}, r"\['m0'\]\.kind is 'eval', expected one of 'distance'"),
    "missing": ({"kind": "angle", "vertex": "a"}, "arms is missing"),
    "foreign": ({"kind": "distance", "points": ["a", "b"], "vertex": "c"}, r"\['m0'\] has no key 'vertex'"),
    "landmark": (
        {"kind": "distance", "points": ["a", "nose"]},
        r"points\[1\] is 'nose', expected a landmark of the template",
    ),
    "number": ({"kind": "distance", "points": ["a", -1]}, r"points\[1\] is -1"),
    "truth": ({"kind": "distance", "points": ["a", True]}, r"points\[1\] is True"),
    "same": ({"kind": "distance", "points": ["a", 0]}, "two different landmarks"),
    "three": ({"kind": "distance", "points": ["a", "b", "c"]}, "at most 2 items"),
    "lines": ({"kind": "angle_between_lines", "lines": [["a", "b"]]}, "lines is .*, expected more items"),
    "part": ({"kind": "ratio", "numerator": "x", "denominator": "y"}, "needs the measurement 'x'"),
    "circle": ({"kind": "sum", "terms": {"m0": 1}}, "computed from each other"),
    "terms": ({"kind": "sum", "terms": {}}, "at least 1 item"),
    "unit": ({"kind": "distance", "points": ["a", "b"], "unit": "deg"}, "has the unit 'deg', but its kind is in 'mm'"),
    "range": (
        {"kind": "distance", "points": ["a", "b"], "normal_range": [2, 1]},
        r"normal_range is \[2, 1\], expected the lower end first",
    ),
    "range text": (
        {"kind": "distance", "points": ["a", "b"], "normal_range": ["1", 2]},
        r"normal_range\[0\] is '1', expected a number",
    ),
    "class": ({"kind": "distance", "points": ["a", "b"], "classes": [{"from": 1}]}, "label is missing"),
    "decimals": ({"kind": "distance", "points": ["a", "b"], "decimals": 9}, "expected at most 6"),
    "hidden": ({"kind": "distance", "points": ["a", "b"], "hidden": 1}, "true or false"),
    "huge": ({"kind": "sum", "terms": {"m0": 10**400}}, "expected a number"),
}


RATIO = {"kind": "ratio", "numerator": "m0", "denominator": "m1"}


@pytest.mark.parametrize("case", [*BAD, *BAD_ENTRIES])
def test_bad_files_are_refused_in_one_sentence(tmp_path: Path, case: str) -> None:
    content, message = {**BAD, **BAD_ENTRIES}[case]
    if case in BAD_ENTRIES:
        content = {"schema": SCHEMA, "measurements": [{"name": "m0", **content}]}
    path = tmp_path / "m.json"
    text = content if isinstance(content, str) else json.dumps(content)
    if case != "not there":
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError, match=message) as caught:
        read_measurements(path, NAMES)
    assert str(path) in str(caught.value) and str(caught.value).endswith(".") and "\n" not in str(caught.value)


@pytest.mark.parametrize("mix", [{"kind": "sum", "terms": {"m0": 1, "m1": 1}}, RATIO])
def test_units_are_not_mixed(tmp_path: Path, mix: dict[str, Any]) -> None:
    length, angle = {"kind": "distance", "points": ["a", "b"]}, {"kind": "angle", "vertex": "a", "arms": ["b", "c"]}
    with pytest.raises(ConfigError, match="mixes deg and mm"):
        plan(tmp_path, length, angle, mix)


# --- The files that are shipped ---------------------------------------------------------------------------------------

SHIPPED = {"cephalometry": 19, "hand": 37}


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_definitions_follow_the_schema(name: str) -> None:
    path = ROOT / f"configs/measurements_{name}.json"
    schema = json.loads((ROOT / "docs/schema/measurements-1.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(json.loads(path.read_text(encoding="utf-8")))
    read = read_measurements(path, [f"any {i}" for i in range(SHIPPED[name])])
    assert read.definitions
    with pytest.raises(ConfigError, match="landmark_count"):
        read_measurements(path, ["one"])


def cephalometry() -> MeasurementPlan:
    return read_measurements(ROOT / "configs/measurements_cephalometry.json", [str(i + 1) for i in range(19)])


#: A profile in mm, looking to the right, whose angles follow from simple numbers: Frankfurt and palatal plane are
#: level, nasion stands above A, B and pogonion.
PROFILE = {1: (0, 0), 2: (70, 0), 3: (65, 25), 4: (-15, 25), 5: (70, 60), 6: (70, 100), 7: (70, 115), 8: (60, 125)}
PROFILE |= {9: (66, 122), 10: (-10, 85), 11: (72, 80), 12: (75, 80), 13: (85, 70), 14: (84, 85), 15: (80, 60)}
PROFILE |= {16: (82, 115), 17: (20, 50), 18: (72, 50), 19: (-12, 40)}


def profile(**moved: tuple[float, float]) -> dict[str, MeasuredValue]:
    points = [moved.get(f"p{i}", PROFILE[i]) for i in range(1, 20)]
    return {value.name: value for value in cephalometry().measure(predicted(np.array(points) * 10, (0.1, 0.1)))}


def test_cephalometry_of_a_profile_of_known_angles() -> None:
    found = profile()
    mandible = math.degrees(math.atan2(40, 70))
    expected = {"SNA": 90, "SNB": 90, "ANB": 0, "ODI": 90 - mandible, "APDI": 90, "FMA": mandible, "MW": 3}
    expected |= {"PFH": math.hypot(10, 85), "AFH": math.hypot(10, 125), "FHA": math.degrees(math.atan2(37, 76))}
    expected["FHI"] = expected["PFH"] / expected["AFH"]
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value, abs=1e-9), name
    assert (found["ANB"].category, found["MW"].category) == ("skeletal class III", "normal overjet")


A_AHEAD, TILT = math.degrees(math.atan2(4, 40)), math.degrees(math.atan2(5, 52))


@pytest.mark.parametrize(
    ("moved", "name", "change", "category"),
    [
        ({"p5": (74, 60)}, "ANB", math.degrees(math.atan2(4, 60)), "skeletal class I"),  # A ahead of B
        ({"p5": (74, 60)}, "APDI", -A_AHEAD, None),
        ({"p18": (72, 55)}, "APDI", TILT, None),  # a palatal plane that drops in front
        ({"p18": (72, 55)}, "ODI", TILT, None),
        ({"p12": (70, 80)}, "MW", -5, "anterior crossbite"),  # an upper incisor behind the lower one
    ],
)
def test_cephalometry_has_the_signs_of_the_clinic(moved: Any, name: str, change: float, category: str | None) -> None:
    found = profile(**moved)[name]
    assert found.value == pytest.approx(profile()[name].value + change)
    assert category in (None, found.category)


@pytest.mark.real_data
@pytest.mark.skipif(not (REAL / "isbi2015").is_dir(), reason="OSL_REAL_DATA does not name the cephalograms")
def test_real_cephalograms_have_plausible_measurements() -> None:
    with (REAL / "isbi2015/landmarks_mean.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    measured = [
        cephalometry().measure(predicted(np.array(row[1:], dtype=float).reshape(19, 2), (0.1, 0.1))) for row in rows
    ]
    means = {value.name: np.mean([one[i].value for one in measured]) for i, value in enumerate(measured[0])}
    plausible = {"SNA": (80, 85), "SNB": (78, 83), "ANB": (0, 5), "ODI": (64, 80), "APDI": (78, 90)}
    plausible |= {"FHI": (0.6, 0.7), "FHA": (28, 36), "FMA": (24, 32), "MW": (0, 4), "PFH": (65, 80), "AFH": (100, 120)}
    assert set(means) == set(plausible)
    for name, (low, high) in plausible.items():
        assert low < means[name] < high, name
