"""LabelMe: one JSON file beside each image, with ``shapes`` of the type ``point``, named by their labels.

LabelMe counts from the corner of the first pixel, so half a pixel comes off.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bundle.errors import BundleError
from bundle.io.names import name_parts
from datasets.files import DataSetError, Source, point, read_json, size_of
from datasets.named_points import Annotation, named_points_data_set
from datasets.records import DataSet


def read_labelme(source: Source) -> DataSet:
    """Read LabelMe's files; one that is damaged is named and left out.

    Raises:
        DataSetError: when none can be used.
    """
    annotations: dict[str, Annotation] = {}
    failures: list[tuple[str, str]] = []
    for path in source.with_ending(".json"):
        try:
            content = _content(path)
            # The image is beside the file, whatever path it had where it was annotated.
            image = (name_parts(str(content.get("imagePath") or "")) or (path.name,))[-1]
            name = (path.parent / image).relative_to(source.folder).as_posix()
            if name in annotations:
                raise DataSetError(f"{path} is the second file for the image {name}: keep one.")
            size = size_of(content.get("imageWidth"), content.get("imageHeight"))
            annotations[name] = Annotation(_points(path, content["shapes"]), size)
        except BundleError as error:
            failures.append((str(path), str(error)))
    if not annotations and not failures:
        raise DataSetError(f"{source.folder} has no JSON file of LabelMe with an image beside it: export both there.")
    return named_points_data_set(source, "LabelMe", annotations, failures)


def _content(path: Path) -> dict[str, Any]:
    content: Any = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        raise DataSetError(f"{path} has no list 'shapes': it is no file of LabelMe; leave it out of the folder.")
    return content


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
        found[label] = point(listed[0], f"{path}, point {label}", corner=0.5)
    if not found:
        raise DataSetError(f"{path} has no point: annotate the image or remove the file.")
    return found
