"""One-Shot Landmarks in 3D Slicer: load an image of a MONAI Label server, find, correct and send points, and train.

Requests block the window, under a wait cursor, for as long as their time limits allow; a training runs at the server
and is asked about by a timer.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import qt
import vtk
from OneShotLandmarksLib.coordinates import ImagePlane, image_plane
from OneShotLandmarksLib.errors import ClientError, ConnectionFailed, PointsError, Refused
from OneShotLandmarksLib.panel import Panel
from OneShotLandmarksLib.points import Point, Result, check_label
from OneShotLandmarksLib.rest import Connection
from OneShotLandmarksLib.scene import (
    IMAGE_ATTRIBUTE,
    SERVER_ATTRIBUTE,
    VERSION_ATTRIBUTE,
    changed_names,
    empty_result,
    fill_node,
    found_points,
    read_node,
)
from OneShotLandmarksLib.server import (
    MODEL,
    STRATEGY,
    LabelServer,
    ServerInfo,
    StoredImage,
    Suggestion,
)
from OneShotLandmarksLib.training import Task
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

import slicer

DEFAULT_URL = "http://127.0.0.1:8000"

#: Where the address is kept among Slicer's settings; a token is not kept.
_URL_SETTING = "OneShotLandmarks/server"

#: The role of the volume in a markups node's references.
_VOLUME_ROLE = "OneShotLandmarks.Volume"

#: Milliseconds from one question about a training to the next, seconds for its answer, and how many may fail in a row.
_POLL_MS, _POLL_SECONDS, _PATIENCE = 2000, 5.0, 5


class OneShotLandmarks(ScriptedLoadableModule):
    """What Slicer shows about the module.

    Args:
        parent: Slicer's object for the module.
    """

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = "One-Shot Landmarks"
        parent.categories = ["Active Learning"]
        parent.dependencies = ["Markups", "Volumes"]
        parent.contributors = ["One-Shot Landmarks"]
        parent.helpText = (
            "Finds anatomical landmarks on radiographs with a MONAI Label server: load an image, find the landmarks, "
            "correct them, send them as annotation, and train again. Not for clinical use."
        )
        parent.acknowledgementText = "The method is FM-OSD (MICCAI 2024)."


class OneShotLandmarksLogic(ScriptedLoadableModuleLogic):
    """What the module does, without its widgets.

    Every method raises ``ClientError`` with one sentence when it cannot be done.

    Attributes:
        info: what the server has; None before :meth:`connect`.
    """

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        self.info: ServerInfo | None = None
        self._server: LabelServer | None = None
        self._watcher: LabelServer | None = None
        self._task_id = ""

    @property
    def server(self) -> LabelServer:
        """The server that is connected."""
        if self._server is None:
            raise ConnectionFailed("No server is connected: press Connect first.")
        return self._server

    def connect(self, url: str, token: str = "") -> ServerInfo:
        """Connect to a server and ask what it has."""
        self._server, self._watcher, self.info, self._task_id = None, None, None, ""
        server = LabelServer(Connection(url, token))
        self.info = server.info()
        self._server, self._watcher = server, LabelServer(Connection(url, token, _POLL_SECONDS))
        return self.info

    def images(self) -> tuple[StoredImage, ...]:
        """The images of the server's data store."""
        return self.server.images()

    def suggest(self, strategy: str) -> Suggestion | None:
        """The image whose annotation helps most; None where all are annotated."""
        return self.server.suggest(strategy)

    def load(self, image_id: str) -> Any:
        """Download an image and show it.

        Args:
            image_id: its id.

        Returns:
            The volume node; that of before where the image is in the scene already.
        """
        volume = self.volume(image_id)
        if volume is None:
            folder = Path(tempfile.mkdtemp(prefix="OneShotLandmarks-", dir=slicer.app.temporaryPath))
            try:
                volume = self._read(self.server.download_image(self.server.find_image(image_id), folder), image_id)
            finally:
                # A radiograph may not stay behind on the disk.
                shutil.rmtree(folder, ignore_errors=True)
        self.show(volume)
        return volume

    def volume(self, image_id: str) -> Any:
        """The volume node of an image of the connected server; None where the scene has none."""
        for volume in slicer.util.getNodesByClass("vtkMRMLVolumeNode"):
            if volume.GetAttribute(IMAGE_ATTRIBUTE) == image_id and volume.GetAttribute(SERVER_ATTRIBUTE) == self._url:
                return volume
        return None

    def points_node(self, image_id: str) -> Any:
        """The markups node of an image; None where the scene has none."""
        volume = self.volume(image_id)
        for node in slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode") if volume is not None else []:
            if node.GetNodeReferenceID(_VOLUME_ROLE) == volume.GetID():
                return node
        return None

    def show(self, volume: Any) -> None:
        """Show an image alone in one slice view, along its own plane, with its own points."""
        slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
        slicer.util.setSliceViewerLayers(background=volume, foreground=None, label=None)
        slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode().RotateToVolumePlane(volume)
        slicer.util.resetSliceViews()
        for node in slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode"):
            shown = node.GetNodeReferenceID(_VOLUME_ROLE)
            if shown and node.GetDisplayNode() is not None:
                node.GetDisplayNode().SetVisibility(shown == volume.GetID())

    def find(self, image_id: str, model: str) -> Any:
        """Have the server find the landmarks of a loaded image.

        Returns:
            The markups node with the points.
        """
        volume = self._loaded(image_id)
        return self._fill(image_id, volume, self.server.infer(model, image_id))

    def load_annotation(self, image_id: str) -> Any:
        """Fetch the saved annotation of a loaded image; returns the markups node."""
        volume = self._loaded(image_id)
        points, version = self.server.saved_points(image_id)
        node = self._fill(image_id, volume, Result(points, None, None, {}))
        node.SetAttribute(VERSION_ATTRIBUTE, version)
        return node

    def place_by_hand(self, image_id: str) -> Any:
        """Begin a loaded image with landmarks that are all still to be placed.

        Returns:
            The markups node; it is empty where the server knows no names of landmarks yet.
        """
        volume = self._loaded(image_id)
        self.info = self.server.info()
        return self._fill(image_id, volume, empty_result(self.info.labels))

    def points(self, image_id: str) -> tuple[tuple[Point, ...], tuple[str, ...]]:
        """The points of an image as they are now, and the names of those that the user changed."""
        node = self.points_node(image_id)
        if node is None:
            return (), ()
        volume = self._loaded(image_id)
        plane = plane_of(volume)
        points = read_node(node, volume, plane)
        return points, changed_names(points, found_points(node), plane)

    def place(self, image_id: str, row: int) -> None:
        """Let the next click on the image place a landmark."""
        node = self._node_with(image_id, row)
        node.UnsetNthControlPointPosition(row)
        node.SetControlPointPlacementStartIndex(row)
        logic = slicer.modules.markups.logic()
        logic.SetActiveList(node)
        logic.StartPlaceMode(False)

    def mark_missing(self, image_id: str, row: int) -> None:
        """Say that a landmark cannot be seen."""
        self._node_with(image_id, row).UnsetNthControlPointPosition(row)

    def centre(self, image_id: str, row: int) -> None:
        """Bring a landmark to the middle of the view."""
        node = self._node_with(image_id, row)
        if node.GetNthControlPointPositionStatus(row) == slicer.vtkMRMLMarkupsNode.PositionDefined:
            slicer.modules.markups.logic().JumpSlicesToNthPointInMarkup(node.GetID(), row, True)

    def submit(self, image_id: str, replaces: str | None = None) -> tuple[int, int]:
        """Send the points of an image as its annotation.

        Args:
            image_id: its id.
            replaces: the version of the annotation that they shall replace, empty for none; None for the one that was
                loaded or sent last.

        Returns:
            How many landmarks are placed, and how many of them all the user changed.
        """
        points, changed = self.points(image_id)
        if not points:
            raise PointsError("This image has no points yet: find the landmarks, or place them by hand.")
        node = self.points_node(image_id)
        expected = [point.name for point in found_points(node)] or (self.info.labels if self.info else ())
        check_label(points, expected)
        seen = (node.GetAttribute(VERSION_ATTRIBUTE) or "") if replaces is None else replaces
        node.SetAttribute(VERSION_ATTRIBUTE, self.server.save_points(image_id, points, replaces=seen))
        return sum(point.lps is not None for point in points), len(changed)

    def train(self, model: str) -> Task:
        """Start a training with the saved annotations."""
        self.info = self.server.info()
        if not self.info.annotated:
            raise PointsError("No image is annotated yet: send the points of one before training.")
        task = self.server.train(model, {})
        self._task_id = task.id
        return task

    def training(self) -> Task | None:
        """The training that was started last; after connecting, the one that runs at the server."""
        if self._watcher is None:
            return None
        task = self._watcher.training(self._task_id)
        if task is None and self._task_id:
            self._task_id = ""
            raise ConnectionFailed("The server no longer knows this training, as after a restart: start it again.")
        self._task_id = task.id if task is not None else ""
        return task

    def stop_training(self) -> Task | None:
        """Stop the training that runs; None where none does."""
        return self.server.stop_training()

    @property
    def _url(self) -> str:
        return self.server.connection.url

    def _loaded(self, image_id: str) -> Any:
        volume = self.volume(image_id)
        if volume is None:
            raise PointsError(f"The image {image_id!r} is not loaded: load it first.")
        return volume

    def _node_with(self, image_id: str, row: int) -> Any:
        node = self.points_node(image_id)
        if node is None or not 0 <= row < node.GetNumberOfControlPoints():
            raise PointsError("No landmark is selected: choose one in the table.")
        return node

    def _read(self, file: Path, image_id: str) -> Any:
        """A file as a volume node that remembers where it came from, but not the file, which is removed."""
        try:
            volume = slicer.util.loadVolume(str(file), {"name": image_id, "singleFile": True, "show": False})
        except RuntimeError as error:
            raise PointsError(
                f"3D Slicer cannot read the image {image_id!r} ({file.suffix or 'no ending'})."
            ) from error
        try:
            plane_of(volume)
        except PointsError:
            slicer.mrmlScene.RemoveNode(volume)
            raise
        storage = volume.GetStorageNode()
        if storage is not None:
            slicer.mrmlScene.RemoveNode(storage)
        volume.SetAttribute(IMAGE_ATTRIBUTE, image_id)
        volume.SetAttribute(SERVER_ATTRIBUTE, self._url)
        return volume

    def _fill(self, image_id: str, volume: Any, result: Result) -> Any:
        """Put points into the image's markups node, which is made where there is none."""
        node, plane = self.points_node(image_id), plane_of(volume)
        if node is not None:
            fill_node(node, volume, plane, result)
            return node
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", f"{image_id} landmarks")
        try:
            fill_node(node, volume, plane, result)
        except PointsError:
            slicer.mrmlScene.RemoveNode(node)
            raise
        node.SetNodeReferenceID(_VOLUME_ROLE, volume.GetID())
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        if display is not None:
            display.SetGlyphTypeFromString("StarBurst2D")
            display.SetGlyphScale(1.5)
            display.SetTextScale(2.5)
        return node


def plane_of(volume: Any) -> ImagePlane:
    """The pixels of a volume node in 3D Slicer's space.

    Raises:
        PointsError: when it is not one radiograph.
    """
    image = volume.GetImageData()
    if image is None:
        raise PointsError("The volume holds no image: load it again.")
    forth, back = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(forth)
    volume.GetRASToIJKMatrix(back)
    return image_plane(
        image.GetDimensions(),
        *([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)] for matrix in (forth, back)),
    )


class OneShotLandmarksWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The module's panel: which button does what, and what is shown when.

    Args:
        parent: the widget that the panel is put into.
    """

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: OneShotLandmarksLogic | None = None
        self._failures = 0

    def setup(self) -> None:
        """Build the panel."""
        ScriptedLoadableModuleWidget.setup(self)
        self.logic = OneShotLandmarksLogic()
        self.panel = panel = Panel(self.layout)
        panel.url.setText(qt.QSettings().value(_URL_SETTING, DEFAULT_URL) or DEFAULT_URL)
        self.timer = qt.QTimer()
        self.timer.setInterval(_POLL_MS)
        self.timer.connect("timeout()", self.poll)
        for button, action in (
            (panel.connect, self.on_connect),
            (panel.refresh, self.on_refresh),
            (panel.load, self.on_load),
            (panel.suggest, self.on_suggest),
            (panel.find, self.on_find),
            (panel.saved, self.on_saved),
            (panel.by_hand, self.on_by_hand),
            (panel.place, self.on_place),
            (panel.missing, self.on_missing),
            (panel.submit, self.on_submit),
            (panel.train, self.on_train),
            (panel.stop, self.on_stop),
        ):
            button.connect("clicked(bool)", action)
        panel.images.connect("currentIndexChanged(int)", self.on_image)
        panel.table.widget.connect("itemSelectionChanged()", self.on_row)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.on_points)
        self.update()

    def cleanup(self) -> None:
        """Stop asking and listening; Slicer calls it before the panel goes."""
        self.timer.stop()
        self.removeObservers()

    @property
    def image_id(self) -> str:
        """The image that is chosen; empty for none."""
        return str(self.panel.images.itemData(self.panel.images.currentIndex) or "")

    def on_connect(self, _: Any = None) -> None:
        """Connect to the server, and fill the lists."""
        panel = self.panel
        with self._told():
            try:
                info = self.logic.connect(panel.url.text, panel.token.text)
                qt.QSettings().setValue(_URL_SETTING, panel.url.text.strip())
                for box, names, preferred in (
                    (panel.model, info.models, MODEL),
                    (panel.trainer, info.trainers, MODEL),
                    (panel.strategy, info.strategies, STRATEGY),
                ):
                    _fill_box(box, [(name, name) for name in names], preferred)
                self._list_images()
                self._say(
                    f"Connected to {info.name or 'the server'}: {info.images} images, {info.annotated} annotated."
                )
                task = self.logic.training()
                if task is not None and task.is_alive:
                    self._watch(task)
            finally:
                if self.logic.info is None:
                    panel.images.clear()
                    self.timer.stop()

    def on_refresh(self, _: Any = None) -> None:
        """Ask for the list of images again."""
        with self._told():
            self._list_images()

    def on_load(self, _: Any = None) -> None:
        """Load the chosen image."""
        with self._told():
            self.logic.load(self.image_id)
            self._say(f"Loaded {self.image_id}.")

    def on_suggest(self, _: Any = None) -> None:
        """Choose and load the image whose annotation helps most."""
        with self._told():
            found = self.logic.suggest(self.panel.strategy.currentText)
            if found is None:
                self._say("The server proposes no image: all of them are annotated.")
                return
            self._list_images(found.id)
            self.logic.load(found.id)
            self._say(f"Annotate {found.id} next{f': {found.reason}' if found.reason else '.'}")

    def on_find(self, _: Any = None) -> None:
        """Find the landmarks of the chosen image."""
        with self._told():
            if self._may_replace():
                self.logic.find(self.image_id, self.panel.model.currentText)
                self._say(f"Found the landmarks of {self.image_id}: drag those that are wrong, then send them.")

    def on_saved(self, _: Any = None) -> None:
        """Fetch the saved annotation of the chosen image."""
        with self._told():
            if self._may_replace():
                self.logic.load_annotation(self.image_id)
                self._say(f"These are the saved points of {self.image_id}.")

    def on_by_hand(self, _: Any = None) -> None:
        """Begin with landmarks that are all still to be placed."""
        with self._told():
            if not self._may_replace():
                return
            node = self.logic.place_by_hand(self.image_id)
            if node.GetNumberOfControlPoints():
                self._say("Select a landmark in the table, press Place and click on the image.")
            else:
                self._say(
                    "The server knows no landmarks yet: place points with the Markups toolbar and name each of them."
                )
                slicer.modules.markups.logic().SetActiveList(node)

    def on_place(self, _: Any = None) -> None:
        """Place the selected landmark with the next click."""
        with self._told():
            self.logic.place(self.image_id, self.panel.table.row)

    def on_missing(self, _: Any = None) -> None:
        """Mark the selected landmark as missing."""
        with self._told():
            self.logic.mark_missing(self.image_id, self.panel.table.row)

    def on_submit(self, _: Any = None) -> None:
        """Send the points as the annotation of the chosen image."""
        with self._told():
            try:
                placed, changed = self.logic.submit(self.image_id)
            except Refused as error:
                if error.status not in (412, 428):
                    raise
                if not slicer.util.confirmOkCancelDisplay(
                    f"{self.image_id} has an annotation that you have not loaded. Replace it? The server keeps a copy.",
                    windowTitle="One-Shot Landmarks",
                ):
                    self._say("Nothing was saved.")
                    return
                placed, changed = self.logic.submit(self.image_id, error.version)
            self._say(f"Saved {placed} landmarks of {self.image_id}, {changed} of them changed by you.")
            self._list_images()

    def on_train(self, _: Any = None) -> None:
        """Start a training."""
        with self._told():
            self._watch(self.logic.train(self.panel.trainer.currentText))
            self._say("The training runs at the server; it goes on when Slicer is closed.")

    def on_stop(self, _: Any = None) -> None:
        """Stop the training."""
        with self._told():
            if self.logic.stop_training() is None:
                self._say("No training is running.")
            self.poll()

    def on_row(self) -> None:
        """Bring the selected landmark to the middle of the view."""
        row = self.panel.table.row
        if row >= 0:
            with self._told():
                self.logic.centre(self.image_id, row)

    def on_image(self, _: Any = None) -> None:
        """Show the points and buttons of the chosen image."""
        if self.logic.info is not None:
            volume = self.logic.volume(self.image_id)
            if volume is not None:
                self.logic.show(volume)
        self.update()

    def on_points(self, _: Any = None, __: Any = None) -> None:
        """Show that points were moved, placed or removed."""
        self.update()

    def poll(self) -> None:
        """Show how far the training is; the timer calls it."""
        try:
            task = self.logic.training()
            self._failures = 0
        except ConnectionFailed as error:
            # One answer that is late says nothing, but Slicer may not ask for ever.
            self._failures += 1
            if self._failures >= _PATIENCE:
                self.timer.stop()
                self._say(str(error))
            return
        except ClientError as error:
            self.timer.stop()
            self._say(str(error))
            return
        if task is not None:
            self._show_task(task)

    def update(self) -> None:
        """Show the points of the chosen image, and allow what can be done."""
        panel, logic = self.panel, self.logic
        connected = logic.info is not None
        volume = logic.volume(self.image_id) if connected and self.image_id else None
        node = logic.points_node(self.image_id) if volume is not None else None
        self._observe(node)
        try:
            points, changed = logic.points(self.image_id) if node is not None else ((), ())
        except ClientError as error:
            self._say(str(error))
            points = None
        if points is not None:
            panel.table.show(points, changed)
        for buttons, enabled in (
            ((panel.refresh,), connected),
            ((panel.load,), bool(connected and self.image_id)),
            ((panel.suggest,), bool(connected and logic.info.strategies)),
            ((panel.find,), bool(volume is not None and logic.info.models)),
            ((panel.saved, panel.by_hand), volume is not None),
            ((panel.place, panel.missing, panel.submit), node is not None),
            ((panel.train,), bool(connected and logic.info.trainers)),
            ((panel.stop,), connected),
        ):
            for button in buttons:
                button.enabled = enabled

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Do something under a wait cursor, show what goes wrong as a sentence, and bring the panel up to date."""
        qt.QApplication.setOverrideCursor(qt.Qt.WaitCursor)
        problem = ""
        try:
            yield
        except ClientError as error:
            problem = str(error)
        finally:
            qt.QApplication.restoreOverrideCursor()
        self.update()
        if problem:
            self._say(problem)
            slicer.util.errorDisplay(problem, windowTitle="One-Shot Landmarks")

    def _may_replace(self) -> bool:
        """Whether points that the user changed may be replaced; asks where there are some."""
        try:
            _, changed = self.logic.points(self.image_id)
        except PointsError:
            changed = ("a point beside the image",)
        return not changed or slicer.util.confirmOkCancelDisplay(
            f"{len(changed)} points of {self.image_id} were changed by you and will be replaced.",
            windowTitle="One-Shot Landmarks",
        )

    def _list_images(self, chosen: str = "") -> None:
        """Fill the list of images, and choose the one that was chosen before or is named."""
        chosen = chosen or self.image_id
        entries = [
            (f"{image.id} (annotated)" if image.is_annotated else image.id, image.id) for image in self.logic.images()
        ]
        _fill_box(self.panel.images, entries, chosen)

    def _watch(self, task: Task) -> None:
        self._failures = 0
        self._show_task(task)
        self.timer.start()

    def _show_task(self, task: Task) -> None:
        panel = self.panel
        share = task.progress
        # A bar without a range moves to and fro: something is done, but not known how much.
        panel.progress.setRange(0, 100 if share is not None or not task.is_alive else 0)
        panel.progress.setValue(int(100 * (share or 0.0)))
        panel.progress_line.setText(
            f"{task.status.lower()}: {task.last_line}" if task.last_line else task.status.lower()
        )
        if task.is_alive or not self.timer.isActive():
            return
        self.timer.stop()
        self._say(
            {
                "DONE": "The training is done: find the landmarks again to see what it changed.",
                "STOPPED": "The training was stopped: the model is the one of before.",
            }.get(task.status, f"The training failed ({task.last_line or 'see the log of the server'}).")
        )

    def _observe(self, node: Any) -> None:
        """Listen to the node of the chosen image alone."""
        events = ("PointEndInteractionEvent", "PointPositionDefinedEvent", "PointPositionUndefinedEvent")
        events += ("PointAddedEvent", "PointRemovedEvent")
        for known, event, method, *_ in list(self.Observations):
            if method == self.on_points and known not in (node, slicer.mrmlScene):
                self.removeObserver(known, event, method)
        for name in events if node is not None else ():
            event = getattr(slicer.vtkMRMLMarkupsNode, name)
            if not self.hasObserver(node, event, self.on_points):
                self.addObserver(node, event, self.on_points)

    def _say(self, sentence: str) -> None:
        self.panel.message.setText(sentence)


def _fill_box(box: Any, entries: list[tuple[str, str]], chosen: str) -> None:
    """Fill a list with texts and what they stand for, and choose one where it is there."""
    blocked = box.blockSignals(True)
    box.clear()
    for text, value in entries:
        box.addItem(text, value)
    position = [value for _, value in entries].index(chosen) if chosen in [value for _, value in entries] else 0
    box.setCurrentIndex(position if entries else -1)
    box.blockSignals(blocked)


class OneShotLandmarksTest(ScriptedLoadableModuleTest):
    """The module's self-test: the whole way against a small server of its own; run it from Slicer's Self Tests."""

    def setUp(self) -> None:
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run all tests."""
        self.setUp()
        self.test_the_whole_way()

    def test_the_whole_way(self) -> None:
        """Load, find, correct, send and train, on an image that lies flat and on one that stands upright."""
        from OneShotLandmarksLib.stub_server import GEOMETRIES, StubServer, to_lps

        logic = OneShotLandmarksLogic()
        with StubServer() as stub:
            logic.connect(stub.url)
            for image_id in GEOMETRIES:
                volume = logic.load(image_id)
                node = logic.find(image_id, MODEL)
                points, changed = logic.points(image_id)
                self.assertEqual(len(points), node.GetNumberOfControlPoints())
                self.assertEqual(changed, ())
                for point, (x, y) in zip(points, stub.found):
                    self.assertAlmostEqual(point.pixel[0], x, places=3)
                    self.assertAlmostEqual(point.pixel[1], y, places=3)
                x, y = stub.found[0]
                node.SetNthControlPointPositionWorld(0, *plane_of(volume).ras(x + 3.0, y + 2.0))
                logic.mark_missing(image_id, 1)
                self.assertEqual(logic.submit(image_id), (2, 2))
                saved = stub.labels[image_id]["markups"][0]["controlPoints"]
                for value, expected in zip(saved[0]["position"], to_lps(image_id, x + 3.0, y + 2.0)):
                    self.assertAlmostEqual(value, expected, places=3)
                self.assertEqual(saved[1]["positionStatus"], "undefined")
            task = logic.train(MODEL)
            for _ in range(100):
                task = logic.training() if task.is_alive else task
            self.assertEqual(task.status, "DONE")
        self.delayDisplay("One-Shot Landmarks works.")
