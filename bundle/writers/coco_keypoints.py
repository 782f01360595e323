"""The landmarks of all images of a run as COCO keypoints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bundle.errors import BundleError
from bundle.writers.atomic import atomic_file
from bundle.writers.naming import printable

#: The visibility flags of the format: not labelled, and labelled and visible.
_ABSENT, _VISIBLE = 0, 2


class CocoKeypointsWriter:
    """Collects the landmarks of a run and writes ``keypoints.json``, a file in the format of COCO's keypoint task.

    Each image is one annotation of the one category ``radiograph``, whose keypoints are the landmarks. Points are
    ``(x, y)`` in pixels, 0-based, with pixel centres at integers: the format leaves open where centres are, so the
    file's ``info`` says it.

    Args:
        folder: the folder of the results.
        names: the landmarks, in the template's order.
        name: the file's name.
    """

    def __init__(self, folder: Path | str, names: Sequence[str], name: str = "keypoints.json") -> None:
        self.path = Path(folder) / name
        self.names = [printable(text) for text in names]
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def __len__(self) -> int:
        return len(self._images)

    def add(
        self, image_id: str, file_name: str, size: tuple[int, int], points: np.ndarray, confidence: float | None
    ) -> None:
        """Put an image at the end.

        Args:
            image_id: its id within the run.
            file_name: the path of its file from the folder of the images on, which no other image has.
            size: (width, height) in pixels.
            points: (N, 2), pixels ``(x, y)``; a point that is not finite is a keypoint that is absent.
            confidence: the score of the annotation, 0 to 1; None where not known.

        Raises:
            BundleError: when the number of points is not that of the names.
        """
        if len(points) != len(self.names):
            raise BundleError(
                f"the image {image_id} has {len(points)} landmarks, but the template has {len(self.names)}: find all "
                "landmarks of a file with one template."
            )
        number = len(self._images) + 1
        width, height = size
        self._images.append(
            {
                "id": number,
                "file_name": printable(file_name),
                "width": width,
                "height": height,
                "name": printable(image_id),
            }
        )
        found = np.isfinite(points).all(axis=1)
        keypoints: list[float] = []
        for point, present in zip(points, found):
            keypoints += [*(_rounded(value) for value in point), _VISIBLE] if present else [0, 0, _ABSENT]
        low, high = (
            (points[found].min(axis=0), points[found].max(axis=0)) if found.any() else (np.zeros(2), np.zeros(2))
        )
        box = [_rounded(value) for value in (*low, *(high - low))]
        annotation: dict[str, Any] = {
            "id": number,
            "image_id": number,
            "category_id": 1,
            "iscrowd": 0,
            "num_keypoints": int(found.sum()),
            "keypoints": keypoints,
            "bbox": box,
            "area": _rounded(box[2] * box[3]),
        }
        if confidence is not None:
            annotation["score"] = round(confidence, 4)
        self._annotations.append(annotation)

    def write(self) -> Path:
        """Write the file, an image and an annotation a line, in the order in which they came.

        Returns:
            The file.

        Raises:
            BundleError: when the file cannot be written.
        """
        category = {"id": 1, "name": "radiograph", "supercategory": "image", "keypoints": self.names, "skeleton": []}
        info = {"description": "landmarks as COCO keypoints; 0-based pixels (x, y), pixel centres at integers"}
        with atomic_file(self.path) as file:
            file.write(f'{{"info": {_dumps(info)},\n"licenses": [],\n"categories": [{_dumps(category)}],\n')
            for key, entries, end in (("images", self._images, ",\n"), ("annotations", self._annotations, "}\n")):
                lines = ",\n".join(_dumps(entry) for entry in entries)
                file.write(f'"{key}": [\n{lines}\n]{end}' if entries else f'"{key}": []{end}')
        return self.path


def _rounded(value: float) -> float:
    return round(float(value), 3) + 0.0


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
