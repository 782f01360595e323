"""LabelMe: one JSON file beside each image, with ``shapes`` of the type ``point``, named by their labels.

LabelMe counts from the corner of the first pixel, so half a pixel comes off.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets.files import DataSetError, images_below, point, read_json
from datasets.named_points import named_points_data_set
from datasets.records import DataSet


def read_labelme(source: Path) -> DataSet:
    """Read LabelMe's files.

    Raises:
        DataSetError: when there is none, or one is damaged.
    """
    files = images_below(source)
    named: dict[str, dict[str, tuple[float, float]]] = {}
    missing: list[str] = []
    for path in sorted(source.rglob("*.json")):
        content: Any = read_json(path)
        shapes = content.get("shapes") if isinstance(content, dict) else None
        if not isinstance(shapes, list):
            raise DataSetError(f"{path} has no list 'shapes': it is no file of LabelMe; leave it out of the folder.")
        points = _points(path, shapes)
        name = Path(str(content.get("imagePath") or path.name).replace("\\", "/")).stem
        if name not in files:
            missing.append(name)
        elif name in named:
            raise DataSetError(f"{path} is the second file for the image {name}: keep one.")
        else:
            named[name] = points
    if not named:
        raise DataSetError(f"{source} has no JSON file of LabelMe with an image beside it: export both there.")
    return named_points_data_set(source, "LabelMe", files, named, missing)


def _points(path: Path, shapes: list[Any]) -> dict[str, tuple[float, float]]:
    found: dict[str, tuple[float, float]] = {}
    for shape in shapes:
        if not isinstance(shape, dict) or shape.get("shape_type") != "point":
            kind = shape.get("shape_type") if isinstance(shape, dict) else shape
            raise DataSetError(f"{path} has a shape of the type {kind!r}, expected points only: remove it.")
        label = str(shape.get("label", ""))
        if not label or label in found:
            raise DataSetError(
                f"{path} has the label {label!r} {'twice' if label else 'on a point'}: name each point once."
            )
        listed = shape.get("points")
        if not isinstance(listed, list) or len(listed) != 1:
            raise DataSetError(
                f"{path}, point {label}: expected one pair of numbers, got {listed!r:.60}; mend the file."
            )
        x, y = point(listed[0], f"{path}, point {label}")
        found[label] = (x - 0.5, y - 0.5)
    if not found:
        raise DataSetError(f"{path} has no point: annotate the image or remove the file.")
    return found
