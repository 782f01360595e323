"""Just enough of vtk and of 3D Slicer's scene: volumes, point lists, transforms and events, in RAS."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np


class Matrix:
    """vtkMatrix4x4."""

    def __init__(self) -> None:
        self.values = np.eye(4)

    def GetElement(self, row: int, column: int) -> float:
        return float(self.values[row, column])


class Node:
    """vtkMRMLNode."""

    def __init__(self) -> None:
        self.id = ""
        self.attributes: dict[str, str] = {}
        self.references: dict[str, str] = {}
        self.observers: dict[int, tuple[int, Callable[..., Any]]] = {}

    def GetID(self) -> str:
        return self.id

    def SetAttribute(self, name: str, value: str) -> None:
        assert isinstance(value, str)
        self.attributes[name] = value

    def GetAttribute(self, name: str) -> str | None:
        return self.attributes.get(name)

    def SetNodeReferenceID(self, role: str, node_id: str) -> None:
        self.references[role] = node_id

    def GetNodeReferenceID(self, role: str) -> str | None:
        return self.references.get(role)

    def AddObserver(self, event: int, method: Callable[..., Any]) -> int:
        tag = max(self.observers, default=0) + 1
        self.observers[tag] = (event, method)
        return tag

    def RemoveObserver(self, tag: int) -> None:
        del self.observers[tag]

    def InvokeEvent(self, event: int) -> None:
        for heard, method in list(self.observers.values()):
            if heard == event:
                method(self, event)


class ImageData:
    def __init__(self, dimensions: tuple[int, int, int]) -> None:
        self.dimensions = dimensions

    def GetDimensions(self) -> tuple[int, int, int]:
        return self.dimensions


class VolumeNode(Node):
    """vtkMRMLVolumeNode; ``transform`` is what a user may have put on it, from its own RAS to the world's."""

    def __init__(self) -> None:
        super().__init__()
        self.image: ImageData | None = None
        self.ijk_to_ras, self.transform = np.eye(4), np.eye(4)
        self.storage: Node | None = None

    def GetImageData(self) -> ImageData | None:
        return self.image

    def GetStorageNode(self) -> Node | None:
        return self.storage

    def GetIJKToRASMatrix(self, matrix: Matrix) -> None:
        matrix.values = self.ijk_to_ras

    def GetRASToIJKMatrix(self, matrix: Matrix) -> None:
        matrix.values = np.linalg.inv(self.ijk_to_ras)

    def TransformPointToWorld(self, local: list[float], world: list[float]) -> None:
        world[:] = (self.transform @ [*local, 1.0])[:3].tolist()

    def TransformPointFromWorld(self, world: list[float], local: list[float]) -> None:
        local[:] = (np.linalg.inv(self.transform) @ [*world, 1.0])[:3].tolist()


class DisplayNode(Node):
    def __init__(self) -> None:
        super().__init__()
        self.visible = True

    def SetVisibility(self, visible: bool) -> None:
        self.visible = bool(visible)

    def GetVisibility(self) -> bool:
        return self.visible

    def SetGlyphTypeFromString(self, glyph: str) -> None:
        assert glyph == "StarBurst2D"

    def SetGlyphScale(self, scale: float) -> None:
        assert scale > 0

    SetTextScale = SetGlyphScale


class MarkupsNode(Node):
    """vtkMRMLMarkupsFiducialNode."""

    PositionUndefined, PositionPreview, PositionDefined, PositionMissing = range(4)
    PointAddedEvent, PointRemovedEvent, PointPositionDefinedEvent, PointPositionUndefinedEvent = range(19002, 19006)
    PointEndInteractionEvent = 19010

    def __init__(self) -> None:
        super().__init__()
        self.points: list[dict[str, Any]] = []
        self.fixed = False
        self.display: DisplayNode | None = None

    def GetNumberOfControlPoints(self) -> int:
        return len(self.points)

    def SetFixedNumberOfControlPoints(self, fixed: bool) -> None:
        self.fixed = fixed

    def GetFixedNumberOfControlPoints(self) -> bool:
        return self.fixed

    def SetControlPointPlacementStartIndex(self, index: int) -> None:
        """Which point is placed first is seen in the real scene alone."""

    def RemoveAllControlPoints(self) -> None:
        assert not self.fixed, "Slicer would not remove them"
        self.points = []

    def AddControlPointWorld(self, world: list[float], label: str) -> int:
        assert not self.fixed, "Slicer would not add it"
        self.points.append({"world": list(world), "label": label, "status": self.PositionDefined, "description": ""})
        self.InvokeEvent(self.PointAddedEvent)
        return len(self.points) - 1

    def GetNthControlPointLabel(self, number: int) -> str:
        return self.points[number]["label"]

    def SetNthControlPointLabel(self, number: int, label: str) -> None:
        self.points[number]["label"] = label

    def SetNthControlPointDescription(self, number: int, words: str) -> None:
        self.points[number]["description"] = words

    def GetNthControlPointDescription(self, number: int) -> str:
        return self.points[number]["description"]

    def GetNthControlPointPositionStatus(self, number: int) -> int:
        return self.points[number]["status"]

    def UnsetNthControlPointPosition(self, number: int) -> None:
        self.points[number]["status"] = self.PositionUndefined
        self.InvokeEvent(self.PointPositionUndefinedEvent)

    def GetNthControlPointPositionWorld(self, number: int, world: list[float]) -> None:
        world[:] = self.points[number]["world"]

    def SetNthControlPointPositionWorld(self, number: int, x: float, y: float, z: float) -> None:
        self.points[number].update(world=[x, y, z], status=self.PositionDefined)
        self.InvokeEvent(self.PointPositionDefinedEvent)

    def CreateDefaultDisplayNodes(self) -> None:
        self.display = DisplayNode()

    def GetDisplayNode(self) -> DisplayNode | None:
        return self.display


_CLASSES: dict[str, type[Node]] = {"vtkMRMLMarkupsFiducialNode": MarkupsNode, "vtkMRMLVolumeNode": VolumeNode}


class Scene(Node):
    """vtkMRMLScene."""

    EndCloseEvent = 66003

    def __init__(self) -> None:
        super().__init__()
        self.nodes: list[Node] = []

    def AddNode(self, node: Node) -> Node:
        node.id = f"node-{id(node)}"
        self.nodes.append(node)
        return node

    def AddNewNodeByClass(self, class_name: str, name: str = "") -> Node:
        return self.AddNode(_CLASSES[class_name]())

    def RemoveNode(self, node: Node) -> None:
        self.nodes.remove(node)
        for volume in self.nodes:
            if isinstance(volume, VolumeNode) and volume.storage is node:
                volume.storage = None

    def Clear(self) -> None:
        self.nodes = []
        self.InvokeEvent(self.EndCloseEvent)

    def of_class(self, class_name: str) -> list[Node]:
        return [node for node in self.nodes if isinstance(node, _CLASSES[class_name])]


def load_nrrd(scene: Scene, file: str) -> VolumeNode:
    """Read a NRRD file in LPS as Slicer does: into RAS.

    Raises:
        RuntimeError: when it is none.
    """
    content = Path(file).read_bytes()
    if not content.startswith(b"NRRD"):
        raise RuntimeError(f"Failed to load node from file: {file}")
    fields = dict(line.split(": ", 1) for line in content.split(b"\n\n")[0].decode().splitlines()[1:])
    assert fields["space"] == "left-posterior-superior"
    directions = [
        [float(number) for number in part.strip("()").split(",")] for part in fields["space directions"].split()
    ]
    origin = [float(number) for number in fields["space origin"].strip("()").split(",")]
    ijk_to_lps = np.eye(4)
    ijk_to_lps[:3, :3], ijk_to_lps[:3, 3] = np.array(directions).T, origin
    volume = VolumeNode()
    volume.image = ImageData(tuple(int(size) for size in fields["sizes"].split()))  # type: ignore[arg-type]
    volume.ijk_to_ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ ijk_to_lps
    scene.AddNode(volume)
    volume.storage = scene.AddNode(Node())
    return volume


def vtk_module() -> ModuleType:
    """The module vtk."""
    vtk = ModuleType("vtk")
    vtk.vtkMatrix4x4 = Matrix  # type: ignore[attr-defined]
    return vtk
