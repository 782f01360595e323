"""The module's logic on a scene, against a small server: places, names, and what is sent back."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from OneShotLandmarksLib.errors import ClientError, ConnectionFailed, PointsError, Refused
from OneShotLandmarksLib.points import dump, read_markups
from OneShotLandmarksLib.scene import FOUND_ATTRIBUTE
from OneShotLandmarksLib.stub_server import GEOMETRIES, HEIGHT, LANDMARKS, WIDTH, StubServer, to_lps

from tests.slicer.application import Application

IMAGES = list(GEOMETRIES)


@pytest.fixture
def logic(module: ModuleType, stub: StubServer) -> Any:
    logic = module.OneShotLandmarksLogic()
    logic.connect(stub.url)
    return logic


@pytest.fixture
def volume(logic: Any) -> Any:
    return logic.load("flat")


@pytest.fixture
def found(logic: Any, volume: Any) -> Any:
    """The points of the image that is loaded."""
    return logic.find("flat", "oneshot_landmarks")


def position(node: Any, number: int) -> list[float]:
    world = [0.0, 0.0, 0.0]
    node.GetNthControlPointPositionWorld(number, world)
    return world


def move(application: Application, node: Any, volume: Any, number: int, x: float, y: float, off: float = 0.0) -> None:
    """Drag a point to a pixel, perhaps off the plane, as the image's own matrix and transform place it."""
    matrix = application.vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    rows = np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
    world = [0.0, 0.0, 0.0]
    volume.TransformPointToWorld((rows @ [x, y, off, 1.0])[:3].tolist(), world)
    node.SetNthControlPointPositionWorld(number, *world)


@pytest.mark.parametrize("image", IMAGES)
def test_found_points_lie_in_ras_where_the_server_found_them(logic: Any, image: str) -> None:
    logic.load(image)
    node = logic.find(image, "oneshot_landmarks")
    assert [node.GetNthControlPointLabel(n) for n in range(4)] == [name for name, *_ in LANDMARKS]
    for number, (_, x, y, _, _) in enumerate(LANDMARKS[:3]):
        left, posterior, superior = to_lps(image, x, y)
        assert position(node, number) == pytest.approx([-left, -posterior, superior], abs=1e-6)
    assert node.GetNthControlPointPositionStatus(3) != 2
    assert node.GetNthControlPointDescription(0) == "confidence 0.93, expected error 0.8 mm"
    assert node.GetNthControlPointDescription(3) == "not found"
    assert node.GetFixedNumberOfControlPoints()


@pytest.mark.parametrize("image", IMAGES)
def test_points_come_back_as_they_were_found(logic: Any, image: str) -> None:
    logic.load(image)
    logic.find(image, "oneshot_landmarks")
    points, changed = logic.points(image)
    assert changed == ()
    for point, (name, x, y, confidence, error) in zip(points, LANDMARKS):
        assert (point.name, point.confidence, point.expected_error) == (name, confidence, error)
        assert point.pixel == (None if x is None else pytest.approx((x, y), abs=1e-4))
        assert point.lps == (None if x is None else pytest.approx(to_lps(image, x, y), abs=1e-4))


@pytest.mark.parametrize("image", IMAGES)
def test_corrections_are_sent_in_lps_on_the_plane(
    application: Application, logic: Any, stub: StubServer, image: str
) -> None:
    volume = logic.load(image)
    node = logic.find(image, "oneshot_landmarks")
    move(application, node, volume, 1, 5.25, 6.5, off=3.0)
    move(application, node, volume, 3, 7.0, 8.0)
    logic.mark_missing(image, 2)
    assert logic.submit(image) == (3, 3)
    markup = stub.labels[image]["markups"][0]
    assert (markup["type"], markup["coordinateSystem"], markup["coordinateUnits"]) == ("Fiducial", "LPS", "mm")
    sella, nasion, menton, orbitale = markup["controlPoints"]
    assert sella["position"] == pytest.approx(to_lps(image, 10.25, 12.5), abs=1e-5)
    assert nasion["position"] == pytest.approx(to_lps(image, 5.25, 6.5), abs=1e-5)
    assert nasion["description"] == "", "what the server knew of the old place is not said of the new one"
    assert menton["positionStatus"] == "undefined"
    assert orbitale["position"] == pytest.approx(to_lps(image, 7.0, 8.0), abs=1e-5)


def test_points_follow_a_transform_of_the_image(
    application: Application, logic: Any, volume: Any, stub: StubServer
) -> None:
    application.transform(
        volume,
        np.array([[0.0, -1.0, 0.0, 7.0], [1.0, 0.0, 0.0, -2.0], [0.0, 0.0, 1.0, 4.0], [0.0, 0.0, 0.0, 1.0]]),
    )
    node = logic.find("flat", "oneshot_landmarks")
    left, posterior, superior = to_lps("flat", 10.25, 12.5)
    assert position(node, 0) == pytest.approx([posterior + 7.0, -left - 2.0, superior + 4.0])
    move(application, node, volume, 0, 20.0, 21.0)
    logic.submit("flat")
    sella, nasion, *_ = stub.labels["flat"]["markups"][0]["controlPoints"]
    assert sella["position"] == pytest.approx(to_lps("flat", 20.0, 21.0), abs=1e-5)
    assert nasion["position"] == pytest.approx(to_lps("flat", *LANDMARKS[1][1:3]), abs=1e-5), "it was not moved"


def test_slicer_reads_and_writes_the_same_files(
    application: Application, logic: Any, stub: StubServer, tmp_path: Path
) -> None:
    """What is sent is where Slicer's own reader and writer of point lists say, too."""
    if not application.real:
        pytest.skip("needs the real scene")
    logic.load("upright")
    node = logic.find("upright", "oneshot_landmarks")
    logic.submit("upright")
    (tmp_path / "sent.mrk.json").write_text(dump(stub.labels["upright"]), encoding="utf-8")
    storage = application.scene.AddNode(application.core.vtkMRMLMarkupsJsonStorageNode())
    storage.SetFileName(str(tmp_path / "sent.mrk.json"))
    again = application.scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    assert storage.ReadData(again)
    assert again.GetNumberOfControlPoints() == 4
    for number in range(3):
        assert again.GetNthControlPointLabel(number) == node.GetNthControlPointLabel(number)
        assert position(again, number) == pytest.approx(position(node, number), abs=1e-5)
    assert again.GetNthControlPointPositionStatus(3) != 2
    storage.SetFileName(str(tmp_path / "saved.mrk.json"))
    assert storage.WriteData(node)
    saved = read_markups(json.loads((tmp_path / "saved.mrk.json").read_text(encoding="utf-8")))
    for point, (name, x, y, _, _) in zip(saved, LANDMARKS):
        assert point.name == name
        assert point.lps == (None if x is None else pytest.approx(to_lps("upright", x, y), abs=1e-5))


def test_an_image_is_loaded_once_and_leaves_no_file(logic: Any, volume: Any, stub: StubServer, tmp_path: Path) -> None:
    assert volume.GetImageData().GetDimensions() == (WIDTH, HEIGHT, 1)
    assert volume.GetStorageNode() is None
    assert list(tmp_path.iterdir()) == []
    assert logic.load("flat") is volume or logic.load("flat").GetID() == volume.GetID()
    assert sum("/datastore/image?" in request for request in stub.requests) == 1


def test_only_the_points_of_the_image_are_shown(logic: Any) -> None:
    nodes = []
    for image in IMAGES:
        logic.load(image)
        nodes.append(logic.find(image, "oneshot_landmarks"))
    logic.load("flat")
    assert [bool(node.GetDisplayNode().GetVisibility()) for node in nodes if node.GetDisplayNode()] in (
        [True, False],
        [],
    )


def test_finding_again_takes_the_same_node(logic: Any, found: Any) -> None:
    second = logic.find("flat", "oneshot_landmarks")
    assert found.GetID() == second.GetID()
    assert second.GetNumberOfControlPoints() == 4


def test_saved_points_can_be_fetched_and_corrected(
    application: Application, logic: Any, volume: Any, found: Any
) -> None:
    logic.submit("flat")
    node = logic.load_annotation("flat")
    assert logic.points("flat")[1] == ()
    move(application, node, volume, 0, 1.0, 2.0)
    assert logic.points("flat")[1] == ("sella",)
    assert logic.submit("flat") == (3, 1)


def test_what_somebody_else_saved_meanwhile_is_not_replaced(logic: Any, found: Any, stub: StubServer) -> None:
    logic.submit("flat")
    logic.load_annotation("flat")
    stub.labels["flat"] = json.loads(json.dumps(stub.labels["flat"]).replace("sella", "turcica"))
    kept = stub.labels["flat"]
    with pytest.raises(Refused) as caught:
        logic.submit("flat")
    assert stub.labels["flat"] == kept and caught.value.version == stub.version("flat").strip('"')
    logic.submit("flat", caught.value.version)
    assert stub.labels["flat"] != kept
    assert logic.submit("flat") == (3, 0)


def test_placing_by_hand(application: Application, logic: Any, volume: Any, stub: StubServer) -> None:
    node = logic.place_by_hand("flat")
    assert [node.GetNthControlPointPositionStatus(n) for n in range(4)] == [0] * 4
    with pytest.raises(PointsError, match="No landmark is placed yet"):
        logic.submit("flat")
    logic.place("flat", 2)
    assert application.calls[-2:] == [("active", node), ("place", False)]
    move(application, node, volume, 2, 11.0, 12.0)
    assert logic.submit("flat") == (1, 1)
    controls = stub.labels["flat"]["markups"][0]["controlPoints"]
    assert [control["positionStatus"] for control in controls] == ["undefined", "undefined", "defined", "undefined"]


def test_placing_by_hand_where_the_server_knows_no_names(
    application: Application, logic: Any, volume: Any, stub: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = stub._info()
    monkeypatch.setattr(stub, "_info", lambda: (200, info[1].replace(b'"labels": [', b'"labels": [], "x": ['), info[2]))
    node = logic.place_by_hand("flat")
    assert node.GetNumberOfControlPoints() == 0 and not node.GetFixedNumberOfControlPoints()
    with pytest.raises(PointsError, match="no points yet"):
        logic.submit("flat")
    for label in ("a", "b"):
        node.AddControlPointWorld([0.0, 0.0, 0.0], label)
    for number in range(2):
        move(application, node, volume, number, 3.0 + number, 4.0)
    assert logic.submit("flat") == (2, 2)
    node.SetNthControlPointLabel(1, "a")
    with pytest.raises(PointsError, match="'a' is there twice"):
        logic.submit("flat")


def test_a_point_beside_the_image_is_not_sent(
    application: Application, logic: Any, volume: Any, found: Any, stub: StubServer
) -> None:
    move(application, found, volume, 0, WIDTH - 0.51, HEIGHT - 0.51)
    logic.submit("flat")
    move(application, found, volume, 0, WIDTH - 0.4, 3.0)
    stub.labels.clear()
    with pytest.raises(PointsError, match="'sella' lies beside the image, at column 40 and row 3 of 40 x 50"):
        logic.submit("flat")
    assert stub.labels == {}


def test_a_renamed_point_is_not_sent(logic: Any, found: Any) -> None:
    found.SetNthControlPointLabel(0, "turcica")
    with pytest.raises(PointsError, match="'sella' is not in the list"):
        logic.submit("flat")


def test_points_of_another_size_or_place_are_refused(
    logic: Any, found: Any, stub: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = stub._infer({"image": "flat"})[1]
    before = [position(found, number) for number in range(3)]
    for old, new, words in (
        (b'"width": 40', b'"width": 41', "40 x 50 pixels here, but 41 x 50 at the server"),
        (b'"x": 10.25', b'"x": 11.25', "'sella' would lie at column 10.[23]"),
        (b'"name": "nasion"', b'"name": "sella"', "'sella' is there twice"),
        (b'"landmarks": [', b'"landmarks": [], "x": [', "no landmarks"),
    ):
        assert old in answer
        changed = (200, answer.replace(old, new), "application/json")
        monkeypatch.setattr(stub, "_infer", lambda query, changed=changed: changed)
        with pytest.raises(PointsError, match=words):
            logic.find("flat", "oneshot_landmarks")
    assert [position(found, number) for number in range(3)] == before, "the points of before are still there"


def test_a_new_list_is_not_left_behind_when_points_do_not_fit(
    application: Application, logic: Any, volume: Any, stub: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = stub._infer({"image": "flat"})[1].replace(b'"width": 40', b'"width": 41')
    monkeypatch.setattr(stub, "_infer", lambda query: (200, answer, "application/json"))
    with pytest.raises(PointsError):
        logic.find("flat", "oneshot_landmarks")
    assert application.nodes("vtkMRMLMarkupsFiducialNode") == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [(b"NRRD", b"JUNK", "cannot read the image 'flat'"), (b"sizes: 40 50 1", b"sizes: 40 25 2", "40 x 25 x 2 voxels")],
)
def test_an_image_that_is_no_radiograph_leaves_nothing_behind(
    application: Application,
    logic: Any,
    stub: StubServer,
    monkeypatch: pytest.MonkeyPatch,
    old: bytes,
    new: bytes,
    words: str,
) -> None:
    content = stub._image({"image": "flat"})[1].replace(old, new)
    monkeypatch.setattr(stub, "_image", lambda query: (200, content, "application/octet-stream"))
    with pytest.raises(PointsError, match=words):
        logic.load("flat")
    assert application.nodes("vtkMRMLVolumeNode") == []
    assert list(application.folder.iterdir()) == []


def test_what_needs_something_first_says_so(module: ModuleType, stub: StubServer) -> None:
    logic = module.OneShotLandmarksLogic()
    with pytest.raises(ConnectionFailed, match="press Connect first"):
        logic.images()
    logic.connect(stub.url)
    with pytest.raises(PointsError, match="'flat' is not loaded"):
        logic.find("flat", "oneshot_landmarks")
    with pytest.raises(Refused, match="no image 'missing'"):
        logic.load("missing")
    with pytest.raises(PointsError, match="No image is annotated yet"):
        logic.train("oneshot_landmarks")
    logic.load("flat")
    with pytest.raises(PointsError, match="No landmark is selected"):
        logic.place("flat", 0)
    logic.find("flat", "oneshot_landmarks")
    with pytest.raises(PointsError, match="No landmark is selected"):
        logic.mark_missing("flat", -1)


def test_images_of_another_server_are_not_mistaken(module: ModuleType, logic: Any, volume: Any) -> None:
    with StubServer() as other:
        logic.connect(other.url)
        assert logic.volume("flat") is None


def test_training_runs_and_is_stopped(logic: Any, found: Any, stub: StubServer) -> None:
    logic.submit("flat")
    assert logic.training() is None
    task = logic.train("oneshot_landmarks")
    with pytest.raises(ClientError, match="Already Running"):
        logic.training()
        logic.train("oneshot_landmarks")
    shares = []
    while task.is_alive:
        task = logic.training()
        shares.append(task.progress)
    assert (task.status, shares) == ("DONE", [pytest.approx(2 / 3), 1.0, 1.0])
    logic.train("oneshot_landmarks")
    assert logic.stop_training().status == "STOPPED"
    assert logic.stop_training() is None
    stub._tasks.clear()
    with pytest.raises(ConnectionFailed, match="no longer knows this training"):
        logic.training()


def test_what_a_node_remembers_may_be_damaged(logic: Any, found: Any) -> None:
    found.SetAttribute(FOUND_ATTRIBUTE, "[[1]]")
    points, changed = logic.points("flat")
    assert len(changed) == len(points) == 4


def test_the_self_test_of_the_module(module: ModuleType) -> None:
    test = module.OneShotLandmarksTest()
    test.runTest()
    assert test.said == "One-Shot Landmarks works."
