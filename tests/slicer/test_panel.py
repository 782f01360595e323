"""The panel: what each button does, what is grey when, and what the user is told."""

from types import ModuleType
from typing import Any

import pytest
from OneShotLandmarksLib.points import Point
from OneShotLandmarksLib.stub_server import StubServer

from tests.slicer import fake_qt
from tests.slicer.application import Application
from tests.slicer.test_module_logic import move

FOUND = [
    ["sella", "0.93", "0.8 mm", "as found"],
    ["nasion", "0.42", "3.1 mm", "as found"],
    ["menton", "", "", "as found"],
    ["orbitale", "", "", "not placed"],
]


@pytest.fixture
def widget(module: ModuleType) -> Any:
    widget = module.OneShotLandmarksWidget()
    widget.setup()
    yield widget
    widget.cleanup()
    assert widget.Observations == [] and fake_qt.Application.waiting == 0


@pytest.fixture
def connected(widget: Any, stub: StubServer) -> Any:
    widget.panel.url.text = stub.url
    widget.panel.connect.click()
    return widget


@pytest.fixture
def with_points(connected: Any) -> Any:
    """The first image is loaded, and its points were found."""
    connected.panel.load.click()
    connected.panel.find.click()
    return connected


def message(widget: Any) -> str:
    return str(widget.panel.message.text)


def grey(widget: Any) -> set[str]:
    return {name for name, part in vars(widget.panel).items() if isinstance(part, fake_qt.Button) and not part.enabled}


def test_nothing_but_connecting_at_first(application: Application, widget: Any) -> None:
    buttons = {name for name, part in vars(widget.panel).items() if isinstance(part, fake_qt.Button)}
    assert grey(widget) == buttons - {"connect"}
    assert widget.panel.url.text == "http://127.0.0.1:8000"
    assert widget.panel.token.echoMode == fake_qt.LineEdit.Password
    assert application.errors == []


def test_connecting_fills_the_lists(connected: Any, stub: StubServer) -> None:
    panel = connected.panel
    assert message(connected) == "Connected to Stub: 2 images, 0 annotated."
    assert [text for text, _ in panel.images.items] == ["flat", "upright"]
    assert panel.strategy.currentText == "helps_most"
    assert (panel.model.currentText, panel.trainer.currentText) == ("oneshot_landmarks", "oneshot_landmarks")
    assert grey(connected) == {"find", "saved", "by_hand", "place", "missing", "submit"}
    assert fake_qt.Settings.stored == {"OneShotLandmarks/server": stub.url}


def test_a_wrong_address_is_told_and_empties_the_lists(application: Application, connected: Any) -> None:
    connected.panel.url.text = "ftp://127.0.0.1"
    connected.panel.connect.click()
    assert "must be one such as http://127.0.0.1:8000" in message(connected)
    assert application.errors == [message(connected)]
    assert connected.panel.images.items == []
    assert "load" in grey(connected)


def test_the_token_is_sent_and_not_kept(application: Application, widget: Any) -> None:
    with StubServer(token="secret") as stub:
        widget.panel.url.text = stub.url
        widget.panel.connect.click()
        assert "wants a token" in application.errors[0]
        widget.panel.token.text = "secret"
        widget.panel.connect.click()
        assert message(widget).startswith("Connected")
    assert "secret" not in str(fake_qt.Settings.stored)


def test_from_the_proposed_image_to_the_annotation(application: Application, connected: Any, stub: StubServer) -> None:
    panel = connected.panel
    panel.suggest.click()
    assert message(connected) == "Annotate flat next: most representative"
    assert connected.image_id == "flat"
    assert ("layout", 6) in application.calls and application.calls[-1] == ("reset",)
    assert grey(connected) == {"place", "missing", "submit"}
    panel.find.click()
    assert panel.table.widget.texts() == FOUND
    assert panel.table.widget.cells[1, 1].colour and not panel.table.widget.cells[0, 1].colour
    assert "submit" not in grey(connected)

    volume, node = connected.logic.volume("flat"), connected.logic.points_node("flat")
    move(application, node, volume, 0, 5.0, 6.0)
    panel.table.widget.select(1)
    assert application.calls[-1] == ("jump", node.GetID(), 1, True)
    panel.missing.click()
    assert [row[3] for row in panel.table.widget.texts()] == [
        "corrected",
        "marked as missing",
        "as found",
        "not placed",
    ]
    assert panel.table.widget.texts()[0][1:3] == ["", ""]

    panel.submit.click()
    assert message(connected) == "Saved 2 landmarks of flat, 2 of them changed by you."
    assert "flat" in stub.labels
    assert [text for text, _ in panel.images.items] == ["flat (annotated)", "upright"]
    assert connected.image_id == "flat"
    panel.suggest.click()
    assert connected.image_id == "upright"
    assert application.errors == []


def test_choosing_another_image_shows_its_points(application: Application, with_points: Any) -> None:
    panel = with_points.panel
    panel.images.setCurrentIndex(1)
    assert panel.table.widget.texts() == []
    assert {"find", "submit"} <= grey(with_points)
    panel.images.setCurrentIndex(0)
    assert panel.table.widget.texts() == FOUND
    nodes = {id(known) for known, *_ in with_points.Observations}
    assert len(nodes) == 2, "the scene and the points of the image that is chosen"


def test_dragging_a_point_shows_at_once(application: Application, with_points: Any) -> None:
    node = with_points.logic.points_node("flat")
    move(application, node, with_points.logic.volume("flat"), 2, 5.0, 6.0)
    node.InvokeEvent(application.markups_class.PointEndInteractionEvent)
    assert with_points.panel.table.widget.texts()[2][3] == "corrected"
    move(application, node, with_points.logic.volume("flat"), 2, 500.0, 6.0)
    node.InvokeEvent(application.markups_class.PointEndInteractionEvent)
    assert "'menton' lies beside the image" in message(with_points)


def test_corrected_points_are_not_replaced_unasked(application: Application, with_points: Any) -> None:
    node = with_points.logic.points_node("flat")
    with_points.panel.find.click()
    assert application.questions == []
    move(application, node, with_points.logic.volume("flat"), 0, 5.0, 6.0)
    application.consent = False
    for button in (with_points.panel.find, with_points.panel.by_hand, with_points.panel.saved):
        button.click()
    assert application.questions == ["1 points of flat were changed by you and will be replaced."] * 3
    assert with_points.logic.points("flat")[0][0].pixel == pytest.approx((5.0, 6.0), abs=1e-4)
    application.consent = True
    with_points.panel.find.click()
    assert with_points.panel.table.widget.texts() == FOUND


def test_placing_by_hand(application: Application, connected: Any) -> None:
    connected.panel.load.click()
    connected.panel.by_hand.click()
    assert "press Place and click on the image" in message(connected)
    assert [row[3] for row in connected.panel.table.widget.texts()] == ["not placed"] * 4
    connected.panel.place.click()
    assert application.errors == ["No landmark is selected: choose one in the table."]
    connected.panel.table.widget.select(0)
    connected.panel.place.click()
    assert application.calls[-1] == ("place", False)


def test_what_the_server_refuses_is_told(application: Application, connected: Any, stub: StubServer) -> None:
    stub.failures["POST /infer/oneshot_landmarks"] = (400, "The image flat is damaged")
    connected.panel.load.click()
    connected.panel.find.click()
    assert application.errors == ["The image flat is damaged."]
    connected.panel.saved.click()
    assert application.errors[-1] == "Label NOT Found."
    assert connected.panel.table.widget.texts() == []
    del stub.failures["POST /infer/oneshot_landmarks"]
    connected.panel.find.click()
    assert connected.panel.table.widget.texts() == FOUND


@pytest.mark.parametrize(
    ("outcome", "words"), [("DONE", "The training is done"), ("ERROR", "The training failed (epoch 3/3)")]
)
def test_training(with_points: Any, stub: StubServer, outcome: str, words: str) -> None:
    stub.outcome = outcome
    panel = with_points.panel
    for button in (panel.submit, panel.train):
        button.click()
    assert "goes on when Slicer is closed" in message(with_points)
    assert with_points.timer.isActive() and panel.progress.range == (0, 0)
    seen = []
    for _ in range(4):
        with_points.timer.tick()
        seen.append((panel.progress.range, panel.progress.value, panel.progress_line.text))
    assert seen[0] == ((0, 100), 33, "running: epoch 1/3")
    assert seen[2] == ((0, 100), 100, "running: epoch 3/3")
    assert words in message(with_points)
    assert not with_points.timer.isActive()
    asked = len(stub.requests)
    with_points.timer.tick()
    assert len(stub.requests) == asked


def test_training_without_annotation(application: Application, connected: Any) -> None:
    connected.panel.train.click()
    assert application.errors == ["No image is annotated yet: send the points of one before training."]
    assert not connected.timer.isActive()


def test_stopping(with_points: Any, stub: StubServer) -> None:
    panel = with_points.panel
    panel.stop.click()
    assert message(with_points) == "No training is running."
    for button in (panel.submit, panel.train, panel.stop):
        button.click()
    assert "The training was stopped" in message(with_points)
    assert not with_points.timer.isActive()


def test_an_annotation_that_was_not_loaded_is_replaced_only_on_demand(
    application: Application, with_points: Any, stub: StubServer
) -> None:
    panel, others = with_points.panel, {"markups": ["of somebody else"]}
    stub.labels["flat"] = others
    application.consent = False
    panel.submit.click()
    assert "flat has an annotation that you have not loaded" in application.questions[-1]
    assert stub.labels["flat"] == others and message(with_points) == "Nothing was saved."
    application.consent = True
    panel.submit.click()
    assert message(with_points).startswith("Saved 3 landmarks of flat")
    assert stub.labels["flat"] != others
    asked = len(application.questions)
    panel.submit.click()
    assert len(application.questions) == asked, "one's own annotation has been seen"
    del stub.labels["flat"]
    panel.submit.click()
    assert stub.labels["flat"]["markups"], "it was removed meanwhile, and is there again"


def test_a_training_that_runs_is_found_again(widget: Any, stub: StubServer) -> None:
    stub.answer("POST", "/train/oneshot_landmarks", {}, b"", {})
    widget.panel.url.text = stub.url
    widget.panel.connect.click()
    assert widget.timer.isActive()


def test_a_server_that_is_gone_is_asked_a_few_times(
    application: Application, with_points: Any, stub: StubServer
) -> None:
    panel = with_points.panel
    for button in (panel.submit, panel.train):
        button.click()
    with_points.logic._watcher.connection.url = "http://127.0.0.1:1"
    for _ in range(4):
        with_points.timer.tick()
    assert with_points.timer.isActive()
    with_points.timer.tick()
    assert not with_points.timer.isActive()
    assert "failed (Connection refused)" in message(with_points)
    assert application.errors == [], "no window for each question"


def test_closing_the_scene_empties_the_table(application: Application, with_points: Any) -> None:
    assert with_points.panel.table.widget.texts() == FOUND
    application.scene.Clear() if not application.real else application.scene.Clear(False)
    assert with_points.panel.table.widget.texts() == []
    assert "find" in grey(with_points)


def test_texts_of_a_row(module: ModuleType) -> None:
    from OneShotLandmarksLib.point_table import row_texts

    point = Point("a", (1.0, 2.0, 3.0), (1.0, 2.0), 0.123, 12.34, "px")
    assert row_texts(point, False) == ("a", "0.12", "12.3 px", "as found")
    assert row_texts(Point("a", None), True) == ("a", "", "", "marked as missing")


def test_what_slicer_shows_about_the_module(module: ModuleType) -> None:
    parent = type("Parent", (), {})()
    module.OneShotLandmarks(parent)
    assert parent.title == "One-Shot Landmarks"
    assert "Not for clinical use" in parent.helpText
