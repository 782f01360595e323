"""COCO keypoints: one JSON file with ``images``, ``annotations`` and one category that names the keypoints.

Keypoints are ``x, y, v`` in a row, 0-based; ``v`` 0 is a landmark that is missing. Every image has one annotation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from datasets.files import DataSetError, images_below, point, read_json
from datasets.records import DataSet, LabelledImage


def read_coco(source: Path) -> DataSet:
    """Read COCO keypoints.

    Raises:
        DataSetError: when there is not exactly one JSON file, or it is none of COCO keypoints.
    """
    file, content = _annotations(source)
    names = _names(file, content)
    by_id = {image["id"]: str(image["file_name"]) for image in content["images"]}
    files = images_below(source)
    images: list[LabelledImage] = []
    missing: list[str] = []
    seen: set[str] = set()
    for annotation in content["annotations"]:
        image = by_id.get(annotation.get("image_id"))
        if image is None:
            raise DataSetError(f"{file} has an annotation of the image {annotation.get('image_id')!r}, which it lacks.")
        name = Path(image).stem
        if name in seen:
            raise DataSetError(f"{file} has two annotations of {image}: keep one object in each image.")
        seen.add(name)
        points = _points(annotation.get("keypoints"), names, f"{file}, image {image}")
        if name in files:
            images.append(LabelledImage(name, files[name], "testing", {"annotator": points}))
        else:
            missing.append(image)
    if not images:
        raise DataSetError(f"{source} has no image that {file.name} annotates: put the images beside it.")
    return DataSet(
        name=source.resolve().name,
        title=f"COCO keypoints of {file.name}",
        licence=_licence(content),
        landmark_names=names,
        images=sorted(images, key=lambda image: image.image_id),
        layout="coco",
        without_image=tuple(missing),
        without_landmarks=tuple(sorted(set(files) - seen)),
    )


def _annotations(source: Path) -> tuple[Path, dict[str, Any]]:
    found = [(path, read_json(path)) for path in sorted(source.rglob("*.json"))]
    fitting = [
        (path, content)
        for path, content in found
        if isinstance(content, dict)
        and all(isinstance(content.get(key), list) for key in ("images", "annotations", "categories"))
    ]
    if len(fitting) != 1:
        raise DataSetError(
            f"{source} has {len(fitting)} JSON files with images, annotations and categories, expected one: export "
            "COCO keypoints into a folder of its own."
        )
    return fitting[0]


def _names(file: Path, content: dict[str, Any]) -> tuple[str, ...]:
    categories = [category for category in content["categories"] if category.get("keypoints")]
    if len(categories) != 1:
        raise DataSetError(
            f"{file} has {len(categories)} categories with keypoints, expected one: export one skeleton."
        )
    return tuple(str(name) for name in categories[0]["keypoints"])


def _points(keypoints: Any, names: tuple[str, ...], where: str) -> np.ndarray:
    if not isinstance(keypoints, list) or len(keypoints) != 3 * len(names):
        count = len(keypoints) if isinstance(keypoints, list) else "no"
        raise DataSetError(f"{where} has {count} numbers under keypoints, expected {3 * len(names)}: x, y, v of each.")
    triples = [keypoints[index : index + 3] for index in range(0, len(keypoints), 3)]
    return np.array(
        [
            (np.nan, np.nan) if not triple[2] else point(triple, f"{where}, keypoint {name}")
            for name, triple in zip(names, triples)
        ],
        dtype=np.float64,
    )


def _licence(content: dict[str, Any]) -> str:
    listed = [str(entry.get("name")) for entry in content.get("licenses", []) if isinstance(entry, dict)]
    return ", ".join(name for name in listed if name and name != "None") or "as its owner says"
