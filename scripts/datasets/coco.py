"""COCO keypoints: one JSON file with ``images``, ``annotations`` and one category that names the keypoints.

Keypoints are ``x, y, v`` in a row, 0-based; ``v`` 0 is a landmark that is missing. Every image has one annotation.
"""

import math
from typing import Any

import numpy as np
from pydantic import Field

from bundle.io.landmark_files.checks import Coordinate, pixel_set
from bundle.records.validation import Foreign
from datasets.files import DataSetError, Source, read_json, size_of
from datasets.records import Annotation, DataSet, named_points_data_set


class _Image(Foreign):
    id: Any
    file_name: str
    width: Any = None
    height: Any = None


class _Annotation(Foreign):
    image_id: Any
    keypoints: list[Coordinate]


class _Category(Foreign):
    keypoints: list[str] = Field([])


class _Licence(Foreign):
    name: str | None = None


class _Coco(Foreign):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]
    licenses: list[_Licence] = Field([])


def read_coco(source: Source) -> DataSet:
    """Read COCO keypoints.

    Raises:
        DataSetError: when there is not exactly one JSON file, or it is none of COCO keypoints.
    """
    files = source.with_ending(".json")
    if len(files) != 1:
        raise DataSetError(
            f"{source.folder} has {len(files)} JSON files, expected one with images, annotations and categories: "
            "export COCO keypoints into a folder of its own."
        )
    file, content = files[0], read_json(files[0], _Coco)
    skeletons = [category.keypoints for category in content.categories if category.keypoints]
    if len(skeletons) != 1:
        raise DataSetError(f"{file} has {len(skeletons)} categories with keypoints, expected one: export one skeleton.")
    (names,) = skeletons
    images = {image.id: image for image in content.images}
    found: dict[str, Annotation] = {}
    for annotation in content.annotations:
        image, count = images.get(annotation.image_id), len(annotation.keypoints)
        if image is None or image.file_name in found or count != 3 * len(names):
            raise DataSetError(
                f"{file}: the annotation of the image {annotation.image_id!r} has {count} numbers under keypoints, "
                f"expected x, y, v of each of {len(names)}, and one annotation of each image: export it again."
            )
        points = np.array(annotation.keypoints).reshape(-1, 3)
        points[points[:, 2] == 0] = math.nan
        found[image.file_name] = Annotation(
            pixel_set(f"{file}, image {image.file_name}", names, points[:, :2]), size_of(image.width, image.height)
        )
    licence = ", ".join(one.name for one in content.licenses if one.name) or "as its owner says"
    title = f"COCO keypoints of {file.name}"
    return named_points_data_set(source, "COCO", found, names=names, title=title, licence=licence)
