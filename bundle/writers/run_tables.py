"""The files of a whole run, each written whole or not at all: tables, and all landmarks as COCO keypoints."""

import csv
import math
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from bundle.errors import one_line
from bundle.records.landmarks import are_numbers
from bundle.records.prediction import LandmarkPrediction
from bundle.writers.files import atomic_file, json_lines, json_values, printable, rounded, spreadsheet_safe

_MEASUREMENTS = ("image", "measurement", "value", "unit", "uncertainty", "normal_low", "normal_high", "class", "note")


def write_table(path: Path, header: Sequence[str], rows: Iterable[Iterable[Any]], form: str = ".4f") -> Path:
    """Write a CSV table; the header alone where there are no rows, so that no older table lingers.

    Args:
        path: the file; its folder is made where it does not exist.
        header: the columns' names.
        rows: the cells. No text can be taken for a formula by a spreadsheet; a number that is unknown, None or NaN, is
            an empty cell. Rows are written as they come, so that a long table takes no memory.
        form: how numbers with a fraction are written.

    Returns:
        The file.

    Raises:
        BundleError: when the file cannot be written.
    """

    def cell(value: Any) -> str:
        if isinstance(value, str):
            return spreadsheet_safe(printable(value))
        if value is None or math.isnan(value):
            return ""
        return f"{value:z{form}}" if isinstance(value, float) else str(value)

    with atomic_file(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(map(cell, row) for row in rows)
    return path


def write_landmarks(folder: Path, names: Sequence[str], found: Iterable[LandmarkPrediction]) -> Path:
    """Write ``landmarks.csv``: ``image,sella_x,sella_y,...``, a row for each image, in pixels with 3 decimals.

    The table can be read as landmarks of a template or as true landmarks. Landmarks that are only numbered, or one of
    which is named as a spreadsheet would not leave it, have the columns ``x1,y1,x2,y2,...`` in the template's order.

    Args:
        folder: the folder of the results.
        names: N names.
        found: the landmarks of each image; a point that is not finite, and any of an image of another kind, becomes
            two empty cells.
    """
    numbered = are_numbers(names) or any(spreadsheet_safe(name) != name for name in names)
    columns = [(f"x{i}", f"y{i}") if numbered else (f"{name}_x", f"{name}_y") for i, name in enumerate(names, start=1)]
    tabled = ((one.image_id, one.tabled_points) for one in found)
    rows = ((name, *np.where(np.isfinite(points), points, np.nan).ravel().tolist()) for name, points in tabled)
    return write_table(folder / "landmarks.csv", ["image", *chain.from_iterable(columns)], rows, ".3f")


def write_errors(folder: Path, failures: Iterable[tuple[str, str]]) -> Path:
    """Write ``errors.csv``: the files that could not be used, each with the reason; each row is one line."""
    rows = ((one_line(file), one_line(reason)) for file, reason in failures)
    return write_table(folder / "errors.csv", ("file", "reason"), rows)


def write_notes(folder: Path, notes: Iterable[tuple[str, str, str]]) -> Path:
    """Write ``notes.csv``: image, writer and reason where something is not written for a reason that is no failure."""
    return write_table(folder / "notes.csv", ("image", "writer", "note"), (map(one_line, note) for note in notes))


def write_poses(folder: Path, found: Iterable[LandmarkPrediction]) -> Path:
    """Write ``poses.csv``: how each image lies beside the template; those of another kind first, then mirrored ones."""
    header = ("image", "kind", "kind_confidence", "side", "turn", "inverted", "scale", "distortion", "changed")
    ordered = sorted(found, key=lambda one: (not one.pose.other_kind, not one.pose.mirrored))
    rows = (
        (
            *(one.image_id, one.pose.kind or "", one.pose.kind_confidence, one.pose.side, one.pose.turn),
            *(int(one.pose.inverted), one.pose.scale, one.pose.distortion, int(one.pose.changed)),
        )
        for one in ordered
    )
    return write_table(folder / "poses.csv", header, rows)


def write_measurements(folder: Path, found: Iterable[LandmarkPrediction]) -> Path:
    """Write ``measurements.csv``: a row for each image and measurement."""
    rows = (
        (
            *(one.image_id, value.name, value.value, value.unit, value.uncertainty),
            *(value.normal_range or (None, None)),
            *(value.category or "", value.note or ""),
        )
        for one in found
        for value in one.measurements
    )
    return write_table(folder / "measurements.csv", _MEASUREMENTS, rows)


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
