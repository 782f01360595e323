"""The files of a whole run, each written whole or not at all: tables, COCO keypoints, what an evaluation measured."""

import csv
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

import numpy as np

from bundle.errors import BundleError, a_few, one_line
from bundle.io.landmark_files.checks import read_text
from bundle.metrics.error_summary import LandmarkErrors
from bundle.records.landmarks import are_numbers
from bundle.records.prediction import LandmarkPrediction
from bundle.writers.files import atomic_file, json_lines, json_values, printable, rounded, spreadsheet_safe, write_json

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


_ERROR_COLUMNS = ("image", "landmark", "error_px", "error_mm")
_COLUMNS = 100
_NAME = 24  # letters of a name


def write_report(folder: Path | str, errors: LandmarkErrors, report: dict[str, Any]) -> tuple[Path, Path]:
    """Write ``metrics.json``, the report, and ``metrics.csv``, the errors behind it.

    The table is ``image,landmark,error_px,error_mm`` with a row for each image and landmark; a cell is empty where
    the error is unknown and ``inf`` where a landmark that has a truth was not found. No cell can be taken for a
    formula by a spreadsheet. Each file appears whole or not at all.

    Args:
        folder: the folder of the results; made where it does not exist.
        errors: the errors.
        report: what ``metrics.json`` is to hold, as JSON values.

    Returns:
        The two files, JSON first.

    Raises:
        BundleError: when a file cannot be written.
    """
    rows = (
        (image, landmark, float(px), float(mm))
        for image, px_row, mm_row in zip(errors.image_ids, errors.px, errors.mm)
        for landmark, px, mm in zip(errors.landmark_names, px_row, mm_row)
    )
    return (
        write_json(Path(folder) / "metrics.json", report),
        write_table(Path(folder) / "metrics.csv", _ERROR_COLUMNS, rows),
    )


def error_file(path: str | Path) -> Path:
    """The file of the errors of an evaluation: ``metrics.csv`` of a folder, or the file itself."""
    return Path(path) / "metrics.csv" if Path(path).is_dir() else Path(path)


def read_errors(path: str | Path) -> LandmarkErrors:
    """Read the errors back that :func:`write_report` wrote; names are as the table has them.

    Args:
        path: ``metrics.csv``, or the folder that it is in.

    Raises:
        BundleError: when the file is missing or is no such table.
    """
    path = error_file(path)
    reader = csv.DictReader(read_text(path, error=BundleError).splitlines())
    if tuple(reader.fieldnames or ())[:4] != _ERROR_COLUMNS:
        raise BundleError(
            f"{path} does not have the columns {', '.join(_ERROR_COLUMNS)}: give metrics.csv of an evaluation."
        )
    cells: dict[tuple[str, str], list[float]] = {}
    try:
        for row in reader:
            both = [float("nan" if row[column] == "" else row[column]) for column in _ERROR_COLUMNS[2:]]
            cells[row["image"], row["landmark"]] = both
    except (TypeError, ValueError):
        cells.clear()
    images = tuple(dict.fromkeys(image for image, _ in cells))
    landmarks = tuple(dict.fromkeys(landmark for _, landmark in cells))
    if not cells or {len(cells), reader.line_num - 1} != {len(images) * len(landmarks)}:
        raise BundleError(
            f"{path}, line {reader.line_num}: the table is not complete, has a row twice, or an error that is no "
            "number: run the evaluation again."
        )
    table = np.array([[cells[image, landmark] for landmark in landmarks] for image in images], dtype=np.float64)
    return LandmarkErrors(images, landmarks, table[..., 0], table[..., 1])


def format_summary(report: dict[str, Any]) -> str:
    """Lay a report out as a table for a terminal of 100 columns.

    Args:
        report: what ``metrics.json`` holds.

    Returns:
        Plain text, lines parted by newlines: the run, a row for all landmarks together and one for each, what went
        wrong. Radii that do not fit into the line are left out and named.
    """
    count = f"{report['images']} images, {report['landmarks']} landmarks, {report['points']} points with a truth"
    if report["seconds_per_image"] is not None:
        count += f", {report['seconds_per_image']:.3g} s per image"
    table, left_out = _table(report)
    rate = "<r mm: successful detection rate, the percentage of points nearer to their truth than r."
    remarks = [rate] if report["points_mm"] else []
    if left_out:
        remarks.append(f"In metrics.json only: {', '.join(left_out)}.")
    if not report["points"]:
        remarks.append("There was nothing to measure: no image has a true landmark.")
    elif not report["points_mm"]:
        remarks.append("No pixel spacing is known, so the errors are in pixels only: --pixel_spacing gives one.")
    else:
        if report["points_mm"] < report["points"]:
            remarks.append(f"The values in mm are those of the {report['points_mm']} points of known pixel spacing.")
        low, high = report["intervals"]["mre_mm"]
        if low is not None and high is not None:
            level = report["intervals"]["level"]
            remarks.append(f"MRE between {low:.2f} and {high:.2f} mm ({level:.0%} bootstrap interval).")
        failures, largest = report["failures"], cell(report["max_mm"])
        over = f"Over {failures['threshold_mm']:g} mm: {cell(failures['percent'], 1)} % of the points"
        remarks.append(f"{over}; largest {largest} mm.")
    for title, key in (
        ("Images without truth", "images_without_truth"),
        ("Truth without image", "truth_without_image"),
        ("Truth outside its image", "truth_outside_image"),
        ("Failed images", "failed_images"),
    ):
        if names := report[key]:
            remarks.append(f"{title} ({len(names)}): {a_few([*map(one_line, names)], 5)}")
    wrapped = [line for remark in remarks for line in textwrap.wrap(remark, _COLUMNS, subsequent_indent="  ")]
    return "\n".join([count, "", *table, "", *wrapped])


def landmark_table(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of landmarks, all together first: what ``metrics.json`` says for people."""
    in_mm = {"MRE mm": "mre_mm", "Std mm": "std_mm", "Median mm": "median_mm"} if report["points_mm"] else {}
    radii = list(report["sdr"]) if report["points_mm"] else []
    rows = [
        [
            row["name"],
            str(row["points"]),
            *(cell(row[key]) for key in in_mm.values()),
            cell(row["mre_px"], 1),
            *(cell(row["sdr"][radius], 1) for radius in radii),
        ]
        for row in [{"name": "all landmarks", **report}, *report["per_landmark"]]
    ]
    return ["Landmark", "Points", *in_mm, "MRE px", *(f"<{float(radius):g} mm %" for radius in radii)], rows


def cell(value: float | None, decimals: int = 2) -> str:
    """A number for people; a dash where it is not known."""
    return "-" if value is None or math.isnan(value) else f"{value:.{decimals}f}"


def _table(report: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The lines of the table, its header first, and the columns that have no room in it."""
    header, rows = landmark_table(report)
    names = [name if len(name) <= _NAME else f"{name[: _NAME - 3]}..." for name in (one_line(row[0]) for row in rows)]
    columns = list(zip([title.removesuffix(" %") for title in header], *rows))
    columns[0] = (header[0], *names)
    widths = [max(map(len, column)) + 2 for column in columns]
    fitting = sum(end <= _COLUMNS for end in accumulate(widths))
    lines = [
        f"{texts[0]:<{widths[0]}}" + "".join(f"{text:>{width}}" for text, width in zip(texts[1:], widths[1:]))
        for texts in zip(*columns[:fitting])
    ]
    return lines, header[fitting:]
