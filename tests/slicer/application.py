"""3D Slicer's application around a scene: the module ``slicer`` with what the module of the product asks it for.

The scene is a fake, or the real one of the package ``slicer-core`` where that is installed.
"""

import importlib
import sys
import unittest
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.slicer import fake_qt, fake_scene

MODULE = Path(__file__).parents[2] / "slicer" / "OneShotLandmarks"

#: What is loaded afresh for each Slicer: the files that hold on to its modules.
_BOUND = ("OneShotLandmarks", "OneShotLandmarksLib.panel", "OneShotLandmarksLib.point_table")


class Widget:
    """ScriptedLoadableModuleWidget."""

    def __init__(self, parent: Any = None) -> None:
        self.parent = parent
        self.layout = fake_qt.Layout()

    def setup(self) -> None:
        """Slicer's own part."""


class Module:
    """ScriptedLoadableModule."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent


class Test(unittest.TestCase):
    """ScriptedLoadableModuleTest."""

    def delayDisplay(self, sentence: str) -> None:
        self.said = sentence


class VTKObservationMixin:
    """slicer.util.VTKObservationMixin."""

    def __init__(self) -> None:
        self.Observations: list[tuple[Any, int, Callable[..., Any], str, int, float]] = []

    def hasObserver(self, known: Any, event: int, method: Callable[..., Any]) -> bool:
        return any(found[:3] == (known, event, method) for found in self.Observations)

    def addObserver(self, known: Any, event: int, method: Callable[..., Any]) -> None:
        assert not self.hasObserver(known, event, method), "it would be called twice"
        self.Observations.append((known, event, method, "none", known.AddObserver(event, method), 0.0))

    def removeObserver(self, known: Any, event: int, method: Callable[..., Any]) -> None:
        (found,) = (entry for entry in self.Observations if entry[:3] == (known, event, method))
        known.RemoveObserver(found[4])
        self.Observations.remove(found)

    def removeObservers(self) -> None:
        for known, event, method, *_ in list(self.Observations):
            self.removeObserver(known, event, method)


class Application:
    """Slicer, and what a test asks it afterwards.

    Args:
        real: whether the scene is the real one.
        folder: the folder for temporary files.

    Attributes:
        scene: the scene.
        errors: the sentences that were shown in a window.
        questions: the sentences that were asked; ``consent`` is the answer.
        calls: what views and placing were told.
    """

    def __init__(self, real: bool, folder: Path) -> None:
        self.real = real
        self.errors: list[str] = []
        self.questions: list[str] = []
        self.consent = True
        self.calls: list[tuple[Any, ...]] = []
        self.folder = folder
        if real:
            self.core = importlib.import_module("slicer_core")
            self.vtk = importlib.import_module("vtk")
            self.scene = self.core.vtkMRMLScene()
            self.markups_class = self.core.vtkMRMLMarkupsNode
        else:
            self.vtk = fake_scene.vtk_module()
            self.scene = fake_scene.Scene()
            self.markups_class = fake_scene.MarkupsNode

    def load_volume(self, file: str, properties: dict[str, Any]) -> Any:
        """slicer.util.loadVolume."""
        assert properties["singleFile"] and not properties["show"]
        assert Path(file).parent.parent == self.folder, "a radiograph belongs into Slicer's temporary folder"
        if not self.real:
            return fake_scene.load_nrrd(self.scene, file)
        volume = self.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", properties["name"])
        storage = self.scene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
        storage.SetSingleFile(True)
        storage.SetFileName(file)
        volume.SetAndObserveStorageNodeID(storage.GetID())
        if not storage.ReadData(volume):
            self.scene.RemoveNode(volume)
            raise RuntimeError(f"Failed to load node from file: {file}")
        return volume

    def transform(self, volume: Any, ras_to_world: np.ndarray) -> None:
        """Put a transform on a volume, as a user does."""
        if not self.real:
            volume.transform = ras_to_world
            return
        matrix = self.vtk.vtkMatrix4x4()
        matrix.DeepCopy(ras_to_world.ravel().tolist())
        node = self.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        node.SetMatrixTransformToParent(matrix)
        volume.SetAndObserveTransformNodeID(node.GetID())

    def nodes(self, class_name: str) -> list[Any]:
        """slicer.util.getNodesByClass."""
        if not self.real:
            return list(self.scene.of_class(class_name))
        found = self.scene.GetNodesByClass(class_name)
        found.UnRegister(None)
        return [found.GetItemAsObject(number) for number in range(found.GetNumberOfItems())]

    def modules(self) -> dict[str, ModuleType]:
        """All modules that Slicer has and Python lacks."""
        slicer, util = ModuleType("slicer"), ModuleType("slicer.util")
        base = ModuleType("slicer.ScriptedLoadableModule")
        record = self._record
        for name, value in {
            "loadVolume": self.load_volume,
            "getNodesByClass": self.nodes,
            "setSliceViewerLayers": record("layers"),
            "resetSliceViews": record("reset"),
            "errorDisplay": lambda text, **_: self.errors.append(text),
            "confirmOkCancelDisplay": self._ask,
            "VTKObservationMixin": VTKObservationMixin,
        }.items():
            setattr(util, name, value)
        for name, value in {
            "ScriptedLoadableModule": Module,
            "ScriptedLoadableModuleWidget": Widget,
            "ScriptedLoadableModuleLogic": type("ScriptedLoadableModuleLogic", (), {}),
            "ScriptedLoadableModuleTest": Test,
        }.items():
            setattr(base, name, value)
        red = SimpleNamespace(mrmlSliceNode=lambda: SimpleNamespace(RotateToVolumePlane=record("plane")))
        layouts = SimpleNamespace(setLayout=record("layout"), sliceWidget=lambda name: {"Red": red}[name])
        logic = SimpleNamespace(
            SetActiveList=record("active"),
            StartPlaceMode=record("place"),
            JumpSlicesToNthPointInMarkup=record("jump"),
        )
        for name, value in {
            "util": util,
            "ScriptedLoadableModule": base,
            "mrmlScene": self.scene,
            "vtkMRMLMarkupsNode": self.markups_class,
            "vtkMRMLLayoutNode": SimpleNamespace(SlicerLayoutOneUpRedSliceView=6),
            "app": SimpleNamespace(temporaryPath=str(self.folder), layoutManager=lambda: layouts),
            "modules": SimpleNamespace(markups=SimpleNamespace(logic=lambda: logic)),
        }.items():
            setattr(slicer, name, value)
        qt, ctk = fake_qt.modules()
        named = {"slicer": slicer, "slicer.util": util, "slicer.ScriptedLoadableModule": base}
        return {**named, "vtk": self.vtk, "qt": qt, "ctk": ctk}

    def _record(self, name: str) -> Callable[..., None]:
        return lambda *values, **named: self.calls.append((name, *values, *named.values()))

    def _ask(self, text: str, **_: Any) -> bool:
        self.questions.append(text)
        return self.consent


def start(real: bool, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Application, ModuleType]:
    """Start Slicer, and load the product's module as it does; its folder is on the path."""
    application = Application(real, folder)
    for name in _BOUND:
        monkeypatch.delitem(sys.modules, name, raising=False)
    for name, module in application.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    return application, importlib.import_module("OneShotLandmarks")
