"""CVAT for images 1.1: ``annotations.xml`` with points, or skeletons of points, in each image.

Each landmark is a ``points`` element of its own with one pair of numbers, named by its label; or one element holds all
landmarks in their order, which are then numbered; or they are the points of a ``skeleton``, where ``outside="1"`` is a
landmark that is missing. CVAT counts from the corner of the first pixel, so half a pixel comes off.
"""

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from bundle.io.landmark_files.checks import parse_pair, pixel_set, read_text
from bundle.records.landmarks import LandmarkSet
from datasets.files import DataSetError, Source, size_of
from datasets.records import Annotation, DataSet, named_points_data_set


def read_cvat(source: Source) -> DataSet:
    """Read CVAT's points.

    Raises:
        DataSetError: when there is no such file, or it holds other shapes.
    """
    file = source.file("annotations.xml")
    if file is None:
        raise DataSetError(
            f"{source.folder} has no annotations.xml: export the task as CVAT for images 1.1 and unpack it there."
        )
    found: dict[str, Annotation] = {}
    for image in _parse(file).iter("image"):
        name = str(image.get("name", ""))
        points = _points(image, f"{file}, image {name}")
        if points is None:
            continue
        if name in found:
            raise DataSetError(f"{file} has the image {name} twice: give the images names that differ.")
        found[name] = Annotation(points, size_of(image.get("width"), image.get("height")))
    return named_points_data_set(source, "CVAT", found)


def _parse(file: Path) -> ElementTree.Element:
    text = read_text(file)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DataSetError(f"{file} declares entities, which CVAT's files do not: export it again.")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise DataSetError(f"{file} is no valid XML (line {error.position[0]}): export it again.") from None
    if root.tag != "annotations" or root.find(".//image") is None:
        raise DataSetError(f"{file} has no images: export the task as CVAT for images 1.1, not for video.")
    return root


def _points(image: ElementTree.Element, where: str) -> LandmarkSet | None:
    names, points = [], []
    for label, number, value in _named(image):
        names.append(label if number is None else str(number))
        points.append([parse_pair(value.split(","), where, label)])
    return pixel_set(where, names, np.array(points) - 0.5) if names else None


def _named(image: ElementTree.Element) -> Iterator[tuple[str, int | None, str]]:
    """Each point with its label, its number where one element holds several, and its text ``x,y``."""
    for element in image.iter("points"):
        if element.get("outside") == "1":
            continue
        label, listed = str(element.get("label", "")), str(element.get("points", "")).split(";")
        for number, value in enumerate(listed, start=1):
            yield label, None if len(listed) == 1 else number, value
