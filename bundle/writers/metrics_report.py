"""How good landmarks are against their truth: ``metrics.json``, ``metrics.csv`` and a table for the terminal."""

import math
import textwrap
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

from bundle.metrics.error_summary import LandmarkErrors
from bundle.writers.files import write_json
from bundle.writers.run_tables import write_table

_COLUMNS = 100
_LISTED_NAMES = 5
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
        write_table(Path(folder) / "metrics.csv", ("image", "landmark", "error_px", "error_mm"), rows),
    )


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
            listed = ", ".join(_line(name) for name in names[:_LISTED_NAMES])
            more = f" and {len(names) - _LISTED_NAMES} more" if len(names) > _LISTED_NAMES else ""
            remarks.append(f"{title} ({len(names)}): {listed}{more}")
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
    names = [name if len(name) <= _NAME else f"{name[: _NAME - 3]}..." for name in (_line(row[0]) for row in rows)]
    columns = list(zip([title.removesuffix(" %") for title in header], *rows))
    columns[0] = (header[0], *names)
    widths = [max(map(len, column)) + 2 for column in columns]
    fitting = sum(end <= _COLUMNS for end in accumulate(widths))
    lines = [
        f"{texts[0]:<{widths[0]}}" + "".join(f"{text:>{width}}" for text, width in zip(texts[1:], widths[1:]))
        for texts in zip(*columns[:fitting])
    ]
    return lines, header[fitting:]


def _line(text: str) -> str:
    """Text on one line that cannot steer the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
