"""The landmarks of all images of a run as COCO keypoints, the file ``keypoints.json``.

Each image is one annotation of the one category ``radiograph``, whose keypoints are the landmarks. The JSON Schema,
docs/schema/keypoints-1.schema.json, is made from the models here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import ConfigDict, Field

from bundle.records.prediction import LandmarkPrediction
from bundle.records.validation import Validated
from bundle.writers.atomic import atomic_file
from bundle.writers.json_file import json_lines, json_values, rounded

#: The visibility flags of the format: not labelled, and labelled and visible.
_ABSENT, _VISIBLE = 0, 2
_INFO = {"description": "landmarks as COCO keypoints; 0-based pixels (x, y), pixel centres at integers"}

Number = Annotated[int, Field(ge=1)]


class CocoImage(Validated):
    """One image; ``name`` is its id within the run."""

    id: Number
    file_name: str = Field(description="Path of the image below the folder of the images.")
    width: Number
    height: Number
    name: str


class CocoAnnotation(Validated):
    """The landmarks of one image."""

    id: Number
    image_id: Number
    category_id: Literal[1]
    iscrowd: Literal[0]
    num_keypoints: Annotated[int, Field(ge=0)]
    keypoints: list[int | float] = Field(description="x, y and flag of each landmark: 2, or 0 where it is missing.")
    bbox: Annotated[list[float], Field(min_length=4, max_length=4, description="Left, top, width and height.")]
    area: Annotated[float, Field(ge=0)]
    score: Annotated[float, Field(ge=0, le=1)] | None = Field(None, description="Mean confidence.")


class CocoCategory(Validated):
    """The one category, with the names of the landmarks."""

    id: Literal[1]
    name: Literal["radiograph"]
    supercategory: Literal["image"]
    keypoints: list[str]
    skeleton: list[list[int]]


class CocoFile(Validated):
    """Landmarks of a run as keypoints of COCO; 0-based pixels (x, y), pixel centres at integers."""

    model_config = ConfigDict(json_schema_extra={"$id": "urn:one-shot-landmarks:keypoints:1"})

    info: dict[str, str]
    licenses: list[dict[str, str]]
    categories: Annotated[list[CocoCategory], Field(min_length=1, max_length=1)]
    images: list[CocoImage]
    annotations: list[CocoAnnotation]


def write_coco(folder: Path, names: Sequence[str], images: Iterable[tuple[LandmarkPrediction, str]]) -> Path:
    """Write ``keypoints.json``.

    Args:
        folder: the folder of the results.
        names: the landmarks, in the template's order.
        images: what was found in each image, and the path of its file below the folder of the images.

    Returns:
        The file, an image and an annotation a line.

    Raises:
        BundleError: when the file cannot be written.
    """
    entries, annotations = [], []
    for number, (found, file_name) in enumerate(images, start=1):
        size = {"width": found.width, "height": found.height}
        entries.append({"id": number, "file_name": file_name, **size, "name": found.image_id})
        annotations.append({"id": number, "image_id": number, "category_id": 1, "iscrowd": 0, **_keypoints(found)})
    category = {"id": 1, "name": "radiograph", "supercategory": "image", "keypoints": list(names), "skeleton": []}
    content = {
        "info": _INFO,
        "licenses": [],
        "categories": [category],
        "images": entries,
        "annotations": annotations,
    }
    document = CocoFile.model_validate(json_values(content)).model_dump(exclude_none=True)
    path = folder / "keypoints.json"
    with atomic_file(path) as file:
        file.write(json_lines(document))
    return path


def _keypoints(found: LandmarkPrediction) -> dict[str, Any]:
    points = found.tabled_points.round(3) + 0.0
    present = np.asarray(np.isfinite(points).all(axis=1))
    keypoints: list[int | float] = []
    for point, there in zip(points.tolist(), present):
        keypoints += [*point, _VISIBLE] if there else [0, 0, _ABSENT]
    low, high = (points[present].min(axis=0), points[present].max(axis=0)) if present.any() else np.zeros((2, 2))
    size = (high - low).round(3)
    return {
        "num_keypoints": int(present.sum()),
        "keypoints": keypoints,
        "bbox": [*low.tolist(), *size.tolist()],
        "area": round(float(size.prod()), 3),
        "score": rounded(float(np.mean(found.confidence)), 4),
    }
