"""COCO keypoints: one JSON file with ``images``, ``annotations`` and one category that names the keypoints.

Keypoints are ``x, y, v`` in a row, 0-based; ``v`` 0 is a landmark that is missing. Every image has one annotation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets.files import DataSetError, Source, point, read_json, size_of
from datasets.named_points import Annotation, named_points_data_set
from datasets.records import DataSet


def read_coco(source: Source) -> DataSet:
    """Read COCO keypoints.

    Raises:
        DataSetError: when there is not exactly one JSON file, or it is none of COCO keypoints.
    """
    file, content = _annotations(source)
    names = _names(file, content)
    images = {image.get("id"): image for image in content["images"] if isinstance(image, dict)}
    found: dict[str, Annotation] = {}
    for annotation in content["annotations"]:
        image = images.get(annotation.get("image_id"))
        if image is None:
            raise DataSetError(f"{file} has an annotation of the image {annotation.get('image_id')!r}, which it lacks.")
        name = str(image.get("file_name"))
        if name in found:
            raise DataSetError(f"{file} has two annotations of {name}: keep one object in each image.")
        points = _points(annotation.get("keypoints"), names, f"{file}, image {name}")
        found[name] = Annotation(points, size_of(image.get("width"), image.get("height")))
    title = f"COCO keypoints of {file.name}"
    return named_points_data_set(source, "COCO", found, names=names, title=title, licence=_licence(content))


def _annotations(source: Source) -> tuple[Path, dict[str, Any]]:
    found = [(path, read_json(path)) for path in source.with_ending(".json")]
    fitting = [
        (path, content)
        for path, content in found
        if isinstance(content, dict)
        and all(isinstance(content.get(key), list) for key in ("images", "annotations", "categories"))
    ]
    if len(fitting) != 1:
        raise DataSetError(
            f"{source.folder} has {len(fitting)} JSON files with images, annotations and categories, expected one: "
            "export COCO keypoints into a folder of its own."
        )
    return fitting[0]


def _names(file: Path, content: dict[str, Any]) -> tuple[str, ...]:
    categories = [category for category in content["categories"] if category.get("keypoints")]
    if len(categories) != 1:
        raise DataSetError(
            f"{file} has {len(categories)} categories with keypoints, expected one: export one skeleton."
        )
    return tuple(str(name) for name in categories[0]["keypoints"])


def _points(keypoints: Any, names: tuple[str, ...], where: str) -> dict[str, tuple[float, float]]:
    if not isinstance(keypoints, list) or len(keypoints) != 3 * len(names):
        count = len(keypoints) if isinstance(keypoints, list) else "no"
        raise DataSetError(f"{where} has {count} numbers under keypoints, expected {3 * len(names)}: x, y, v of each.")
    triples = zip(names, zip(*[iter(keypoints)] * 3))
    return {name: point(triple, f"{where}, keypoint {name}") for name, triple in triples if triple[2]}


def _licence(content: dict[str, Any]) -> str:
    listed = [str(entry.get("name")) for entry in content.get("licenses", []) if isinstance(entry, dict)]
    return ", ".join(name for name in listed if name and name != "None") or "as its owner says"
