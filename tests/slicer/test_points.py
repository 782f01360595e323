"""Results and point lists: what is read, what is written, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from OneShotLandmarksLib.coordinates import image_plane, lps_to_ras, ras_to_lps
from OneShotLandmarksLib.errors import PointsError
from OneShotLandmarksLib.points import Point, check_label, dump, markups_document, read_markups, read_result

from bundle.io.landmark_files import read_landmarks
from bundle.records.radiograph import Radiograph
from bundle.writers import slicer_markups
from bundle.writers.result_json import result_document
from tests.writers.test_result_writers import prediction

#: One landmark that was found and one that was not.
FOUND = prediction(
    count=2,
    names=("sella", "nasion"),
    points=np.array([[10.5, 20.25], [np.nan, np.nan]]),
    confidence=np.array([0.87, np.nan]),
    width=40,
    height=50,
    spacing=(0.1, 0.1),
)


def test_a_result_of_the_product_is_read() -> None:
    result = read_result({"result": result_document(FOUND), "latencies": {}})
    assert (result.width, result.height) == (40, 50)
    first, missing = result.points
    assert (first.name, first.pixel) == ("sella", (10.5, 20.25))
    assert first.lps == pytest.approx((10.5, 20.25, 0.0))
    assert (missing.lps, missing.pixel, missing.certainty) == (None, None, "not found")
    assert first.certainty.startswith("confidence 0.87")


def test_the_point_list_of_the_product_is_read() -> None:
    sella, missing = read_markups(slicer_markups.markups_document(FOUND))
    assert sella == Point("sella", pytest.approx((10.5, 20.25, 0.0)))
    assert missing == Point("nasion", None)


def test_the_product_reads_what_is_written(tmp_path: Path) -> None:
    """What the server gets is read by the product's own reader, to the same pixels."""
    file = tmp_path / "label.mrk.json"
    file.write_text(dump(markups_document("001", [Point("a", (3.0, -4.5, 12.0)), Point("b", None)])), encoding="utf-8")
    upright = np.array([[0.2, 0.0, -7.0], [0.0, 0.0, -4.5], [0.0, -0.3, 15.0]])
    image = Radiograph(
        path=tmp_path / "001.png",
        pixels=np.zeros((100, 100), dtype=np.float32),
        spacing=None,
        spacing_source=None,
        pixel_to_lps=upright,
    )
    landmarks = read_landmarks(file, image)
    assert landmarks.names == ("a", "b")
    assert landmarks.points[0] == pytest.approx([50.0, 10.0])
    assert np.isnan(landmarks.points[1]).all()


def result(**changes: Any) -> dict[str, Any]:
    landmark = {"name": "a", "x": 1.0, "y": 2.0, "lps": [1.0, 2.0, 0.0], "confidence": 0.5, **changes}
    return {"width": 10, "height": 10, "landmarks": [landmark]}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (None, "holds no landmarks"),
        ([], "holds no landmarks"),
        ({"result": None}, "holds no landmarks"),
        ({"landmarks": []}, "holds no landmarks"),
        ({"landmarks": {"a": 1}}, "holds no landmarks"),
        ({"landmarks": [1]}, "Landmark 1 of the server's answer is not an object"),
        (result(name=""), "Point 1 has no name"),
        (result(name=7), "Point 1 has no name"),
        (result(x="1"), "'a' has '1' where a number"),
        (result(x=True), "'a' has 'True' where a number"),
        (result(confidence=float("nan")), "'a' has 'nan' where a number"),
        (result(lps=[1, 2]), "where three numbers were expected"),
        (result(lps=[1, 2, float("inf")]), "'inf' where a number"),
    ],
)
def test_bad_results(document: Any, words: str) -> None:
    with pytest.raises(PointsError, match=words):
        read_result(document)


def test_errors_are_taken_in_mm_where_there_are_some() -> None:
    (point,) = read_result(result(expected_error_mm=1.25, expected_error_px=12.5)).points
    assert point.certainty == "confidence 0.50, expected error 1.2 mm"
    (point,) = read_result(result(expected_error_mm=None, expected_error_px=12.5)).points
    assert (point.expected_error, point.error_unit) == (12.5, "px")


def markup(**changes: Any) -> dict[str, Any]:
    return {"markups": [{"type": "Fiducial", "controlPoints": [{"label": "a", "position": [1, 2, 3]}], **changes}]}


def test_ras_point_lists_are_read() -> None:
    assert read_markups(markup(coordinateSystem="RAS"))[0].lps == (-1.0, -2.0, 3.0)
    assert read_markups(markup())[0].lps == (1.0, 2.0, 3.0)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "Found 0 point lists"),
        ({"markups": "x"}, "Found 0 point lists"),
        ({"markups": [{"type": "Line"}]}, "Found 0 point lists"),
        ({"markups": markup()["markups"] * 2}, "Found 2 point lists"),
        (markup(coordinateSystem="XYZ"), "in XYZ and mm"),
        (markup(coordinateUnits="inch"), "in LPS and inch"),
        (markup(controlPoints=None), "controlPoints are not a list"),
        (markup(controlPoints=[1]), "Point 1 of the point list is not an object"),
        (markup(controlPoints=[{"position": [1, 2, 3]}]), "Point 1 has no name"),
        (markup(controlPoints=[{"label": "a"}]), "'a' has no position"),
        (markup(controlPoints=[{"label": "a", "position": [1, 2]}]), "three numbers"),
        (markup(controlPoints=[{"label": "a", "position": [1, 2, 3]}] * 2), "'a' is there twice"),
    ],
)
def test_bad_point_lists(document: Any, words: str) -> None:
    with pytest.raises(PointsError, match=words):
        read_markups(document)


def test_what_cannot_be_written() -> None:
    with pytest.raises(PointsError, match="There are no points"):
        markups_document("001", [])
    with pytest.raises(PointsError, match="'a' has 'nan'"):
        markups_document("001", [Point("a", (1.0, float("nan"), 0.0))])
    with pytest.raises(PointsError, match="Point 1 has no name"):
        markups_document("001", [Point(" ", None)])


def test_labels_have_the_names_of_the_server() -> None:
    here, gone = Point("a", (1.0, 2.0, 0.0)), Point("b", None)
    check_label([gone, here], ["a", "b"])
    check_label([here], [])
    with pytest.raises(PointsError, match="'b' is not in the list, nor are 1 others"):
        check_label([here], ["a", "b", "c"])
    with pytest.raises(PointsError, match="'b' is none of the server's 1 landmarks"):
        check_label([here, gone], ["a"])
    with pytest.raises(PointsError, match="No landmark is placed yet"):
        check_label([gone], ["b"])


def test_text_of_a_document_is_json() -> None:
    assert json.loads(dump({"ä": [1.0, None]})) == {"ä": [1.0, None]}
    with pytest.raises(ValueError):
        dump({"a": float("nan")})


def test_lps_and_ras() -> None:
    assert lps_to_ras((1.0, -2.0, 3.0)) == (-1.0, 2.0, 3.0)
    assert ras_to_lps(lps_to_ras((1.0, -2.0, 3.0))) == (1.0, -2.0, 3.0)
    assert str(lps_to_ras((0.0, 0.0, 0.0))) == "(0.0, 0.0, 0.0)", "no minus zero"


@pytest.mark.parametrize(
    ("dimensions", "axes", "size"),
    [
        ((4, 5, 1), (0, 1), (4, 5)),
        ((4, 1, 5), (0, 2), (4, 5)),
        ((1, 4, 5), (1, 2), (4, 5)),
        ((1, 5, 1), (1, 0), (5, 1)),
    ],
)
def test_the_plane_of_a_volume(dimensions: tuple[int, ...], axes: tuple[int, int], size: tuple[int, int]) -> None:
    forth = np.array([[0.0, -2.0, 0.0, 5.0], [0.5, 0.0, 0.0, 6.0], [0.0, 0.0, 3.0, 7.0], [0.0, 0.0, 0.0, 1.0]])
    plane = image_plane(dimensions, forth.tolist(), np.linalg.inv(forth).tolist())
    assert (plane.axes, (plane.width, plane.height)) == (axes, size)
    assert plane.pixel(plane.ras(1.5, 2.25)) == pytest.approx((1.5, 2.25))
    assert plane.holds(-0.5, size[1] - 0.5) and not plane.holds(-0.51, 0.0) and not plane.holds(float("nan"), 0.0)


def test_a_volume_is_no_plane() -> None:
    with pytest.raises(PointsError, match="4 x 5 x 6 voxels"):
        image_plane((4, 5, 6), np.eye(4).tolist(), np.eye(4).tolist())
