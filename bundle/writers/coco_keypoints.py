"""The landmarks of all images of a run as COCO keypoints, the file ``keypoints.json``.

Each image is one annotation of the one category ``radiograph``, whose keypoints are the landmarks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bundle.records.prediction import LandmarkPrediction
from bundle.writers.files import atomic_file, json_lines, json_values, rounded

#: The visibility flags of the format: not labelled, and labelled and visible.
_ABSENT, _VISIBLE = 0, 2
_INFO = {"description": "landmarks as COCO keypoints; 0-based pixels (x, y), pixel centres at integers"}


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
    content = {"info": _INFO, "licenses": [], "categories": [category], "images": entries, "annotations": annotations}
    path = folder / "keypoints.json"
    with atomic_file(path) as file:
        file.write(json_lines(json_values(content)))
    return path


def _keypoints(found: LandmarkPrediction) -> dict[str, Any]:
    points = found.tabled_points.round(3) + 0.0
    present = np.asarray(np.isfinite(points).all(axis=1))
    flagged = [[*point, _VISIBLE] if there else [0, 0, _ABSENT] for point, there in zip(points.tolist(), present)]
    low, high = (points[present].min(axis=0), points[present].max(axis=0)) if present.any() else np.zeros((2, 2))
    size, score = (high - low).round(3), rounded(float(np.mean(found.confidence)), 4)
    return {
        "num_keypoints": int(present.sum()),
        "keypoints": [value for one in flagged for value in one],
        "bbox": [*low.tolist(), *size.tolist()],
        "area": round(float(size.prod()), 3),
        **({} if score is None else {"score": score}),
    }
