"""How good landmarks are against their truth: ``metrics.json``, ``metrics.csv`` and a table for the terminal."""

from __future__ import annotations

import csv
import json
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bundle.writers.atomic import atomic_file
from bundle.writers.naming import printable, spreadsheet_safe

#: The form of ``metrics.json``: a reader that does not know the number must not guess.
SCHEMA = "one-shot-landmarks/metrics/1"

#: From this error in mm on, exclusive, a landmark counts as a failure.
FAILURE_MM = 10.0

_COLUMNS = 100
_LISTED_NAMES = 5


@dataclass(frozen=True)
class LandmarkErrors:
    """Radial errors of N landmarks in M images.

    Attributes:
        image_ids: M names.
        landmark_names: N names.
        px: (M, N), float64, errors in pixels of the full-resolution image; NaN where there is no truth, infinity
            where a landmark that has one was not found.
        mm: (M, N), float64, errors in millimetres; NaN where there is no truth or no spacing. None stands for NaN
            everywhere.

    Raises:
        ValueError: when the shapes differ, or a landmark without an error in pixels has one in millimetres.
    """

    image_ids: tuple[str, ...]
    landmark_names: tuple[str, ...]
    px: np.ndarray
    mm: np.ndarray | None = None

    def __post_init__(self) -> None:
        shape = (len(self.image_ids), len(self.landmark_names))
        for name, errors in (("px", self.px), ("mm", self.mm_or_nan)):
            if np.shape(errors) != shape:
                raise ValueError(f"{name}: expected shape {shape}, images by landmarks, got {np.shape(errors)}.")
        if (np.isnan(self.px) & ~np.isnan(self.mm_or_nan)).any():
            raise ValueError("mm: expected NaN wherever px is NaN, got a number.")

    @property
    def mm_or_nan(self) -> np.ndarray:
        """(M, N) errors in millimetres; NaN where unknown."""
        return np.full(np.shape(self.px), np.nan) if self.mm is None else self.mm


def build_report(
    errors: LandmarkErrors,
    radii: Sequence[float] = (2.0, 2.5, 3.0, 4.0),
    seconds_per_image: float | None = None,
    images_without_truth: Iterable[str] = (),
    truth_without_image: Iterable[str] = (),
    failed_images: Iterable[str] = (),
    statistics: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Sum up the errors of a run.

    Every mean is over the pooled points, those of all images that have a truth, each counting once, as in
    :class:`bundle.metrics.mean_radial_error.MeanRadialErrorMetric`; the standard deviation is that of these points
    (divided by their number).

    Args:
        errors: the errors.
        radii: radii in mm of the successful detection rate.
        seconds_per_image: mean time to find the landmarks of one image; None where it was not taken.
        images_without_truth: names of images that no row of the truth belongs to.
        truth_without_image: names of rows of the truth that belong to no image.
        failed_images: names of images that could not be read or measured.
        statistics: further entries, as :func:`bundle.handlers.run_statistics.run_statistics` makes them; those under
            ``"per_landmark"``, one for each landmark, go into the rows of that name.

    Returns:
        What ``metrics.json`` holds, None for every number that is unknown or infinite:

        - ``schema``: name and version of this form.
        - ``mre_mm``, ``std_mm``, ``median_mm``, ``max_mm``: of the errors in mm; ``mre_px``: mean in pixels.
        - ``sdr``: percentage of points with ``error < radius`` by radius, as ``{"2.0": 85.3, ...}``.
        - ``failures_over_10mm_percent``: percentage of points with an error over 10 mm.
        - ``images``: M; ``landmarks``: N; ``points``: how many of the M × N have a truth; ``points_mm``: how many of
          these have a spacing too, hence count in the values in mm.
        - ``seconds_per_image``, ``images_without_truth``, ``truth_without_image``, ``failed_images``: as given.
        - ``per_landmark``: for each landmark ``name``, ``mre_mm``, ``std_mm``, ``median_mm``, ``mre_px``, ``sdr``,
          ``points`` and ``points_mm``.

    Raises:
        ValueError: when a radius is not a positive number.
    """
    if not all(math.isfinite(radius) and radius > 0 for radius in radii):
        raise ValueError(f"radii: expected positive distances in mm, got {list(radii)}.")
    errors_mm = errors.mm_or_nan
    pooled = _known(errors_mm)
    overall = _statistics(errors.px, errors_mm, radii)
    per_landmark = [
        {"name": printable(name), **_statistics(px, mm, radii)}
        for name, px, mm in zip(errors.landmark_names, errors.px.T, errors_mm.T)
    ]
    further = dict(statistics or {})
    for row, more in zip(per_landmark, further.pop("per_landmark", [])):
        row.update(_for_json(more))
    return {
        "schema": SCHEMA,
        "mre_mm": overall["mre_mm"],
        "std_mm": overall["std_mm"],
        "median_mm": overall["median_mm"],
        "max_mm": _number(pooled.max()) if pooled.size else None,
        "mre_px": overall["mre_px"],
        "sdr": overall["sdr"],
        "failures_over_10mm_percent": _percent(pooled > FAILURE_MM),
        "images": len(errors.image_ids),
        "landmarks": len(errors.landmark_names),
        "points": overall["points"],
        "points_mm": overall["points_mm"],
        "seconds_per_image": None if seconds_per_image is None else _number(seconds_per_image),
        "images_without_truth": [printable(name) for name in images_without_truth],
        "truth_without_image": [printable(name) for name in truth_without_image],
        "failed_images": [printable(name) for name in failed_images],
        **_for_json(further),
        "per_landmark": per_landmark,
    }


def _for_json(value: Any) -> Any:
    """The same without NaN and infinity, which JSON does not know, and with text that UTF-8 can hold."""
    if isinstance(value, Mapping):
        return {str(key): _for_json(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_for_json(entry) for entry in value]
    if isinstance(value, float):
        return _number(value)
    return printable(value) if isinstance(value, str) else value


def _known(errors: np.ndarray) -> np.ndarray:
    return errors[~np.isnan(errors)]


def _number(value: float) -> float | None:
    """A number for JSON, which knows neither NaN nor infinity."""
    return float(value) if math.isfinite(value) else None


def _percent(hits: np.ndarray) -> float | None:
    return 100.0 * np.count_nonzero(hits) / hits.size if hits.size else None


def _statistics(px: np.ndarray, mm: np.ndarray, radii: Sequence[float]) -> dict[str, Any]:
    px, mm = _known(px), _known(mm)
    with np.errstate(invalid="ignore"):  # the deviation of an infinite error is NaN
        return {
            "mre_mm": _number(mm.mean()) if mm.size else None,
            "std_mm": _number(mm.std()) if mm.size else None,
            "median_mm": _number(np.median(mm)) if mm.size else None,
            "mre_px": _number(px.mean()) if px.size else None,
            "sdr": {str(float(radius)): _percent(mm < radius) for radius in radii},
            "points": int(px.size),
            "points_mm": int(mm.size),
        }


def write_report(folder: Path | str, errors: LandmarkErrors, report: dict[str, Any]) -> tuple[Path, Path]:
    """Write ``metrics.json``, the report, and ``metrics.csv``, the errors behind it.

    The table is ``image,landmark,error_px,error_mm`` with a row for each image and landmark; a cell is empty where
    the error is unknown and ``inf`` where a landmark that has a truth was not found. No cell can be taken for a
    formula by a spreadsheet. Each file appears whole or not at all.

    Args:
        folder: the folder of the results; made where it does not exist.
        errors: the errors.
        report: what :func:`build_report` made of them.

    Returns:
        The two files, JSON first.

    Raises:
        BundleError: when a file cannot be written.
    """
    json_path, csv_path = Path(folder) / "metrics.json", Path(folder) / "metrics.csv"
    text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)
    with atomic_file(json_path) as file:
        file.write(text + "\n")
    with atomic_file(csv_path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", "landmark", "error_px", "error_mm"])
        for image, px_row, mm_row in zip(errors.image_ids, errors.px, errors.mm_or_nan):
            for landmark, px, mm in zip(errors.landmark_names, px_row, mm_row):
                writer.writerow([_text_cell(image), _text_cell(landmark), _number_cell(px), _number_cell(mm)])
    return json_path, csv_path


def _text_cell(text: str) -> str:
    return spreadsheet_safe(printable(text))


def _number_cell(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}"


def format_summary(report: dict[str, Any]) -> str:
    """Lay a report out as a table for a terminal of 100 columns.

    Args:
        report: what :func:`build_report` gives, or ``metrics.json`` read back.

    Returns:
        Plain text, lines parted by newlines: the run, a row for all landmarks together and one for each, what went
        wrong. Radii that do not fit into the line are left out and named.
    """
    count = f"{report['images']} images, {report['landmarks']} landmarks, {report['points']} points with a truth"
    if report["seconds_per_image"] is not None:
        count += f", {report['seconds_per_image']:.3g} s an image"
    table, radii_left_out = _table(report)
    remarks = ["<r mm: successful detection rate, the percentage of points nearer to their truth than r."]
    if radii_left_out:
        remarks.append(f"In metrics.json only: the rate within {', '.join(radii_left_out)} mm.")
    if not report["points"]:
        remarks.append("There was nothing to measure: no image has a true landmark.")
    elif not report["points_mm"]:
        remarks.append("No pixel spacing is known: the errors are in pixels only.")
    else:
        if report["points_mm"] < report["points"]:
            remarks.append(f"The values in mm are those of the {report['points_mm']} points of known pixel spacing.")
        if interval := report.get("intervals", {}).get("mre_mm"):
            low, high = (_cell(bound, 2) for bound in interval)
            remarks.append(f"MRE between {low} and {high} mm ({report['intervals']['level']:.0%} bootstrap interval).")
        failures, largest = report["failures_over_10mm_percent"], report["max_mm"]
        remarks.append(f"Over {FAILURE_MM:g} mm: {_cell(failures, 1)} % of the points; largest {_cell(largest, 2)} mm.")
    for title, key in (
        ("Images without truth", "images_without_truth"),
        ("Truth without image", "truth_without_image"),
        ("Failed images", "failed_images"),
    ):
        if names := report[key]:
            listed = ", ".join(_line(name) for name in names[:_LISTED_NAMES])
            more = f" and {len(names) - _LISTED_NAMES} more" if len(names) > _LISTED_NAMES else ""
            remarks.append(f"{title} ({len(names)}): {listed}{more}")
    wrapped = [line for remark in remarks for line in textwrap.wrap(remark, _COLUMNS, subsequent_indent="  ")]
    return "\n".join([count, "", *table, "", *wrapped])


def _table(report: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The lines of the table, its header first, and the radii that have no room in it."""
    radii = list(report["sdr"])
    rows = [("all landmarks", report), *((_line(row["name"]), row) for row in report["per_landmark"])]
    name_width = min(max(len(name) for name, _ in rows), 24)
    # the header of each column, its width with the gap before it, and its cells
    columns = [
        ("points", 8, [str(row["points"]) for _, row in rows]),
        ("MRE mm", 8, [_cell(row["mre_mm"], 2) for _, row in rows]),
        ("std mm", 8, [_cell(row["std_mm"], 2) for _, row in rows]),
        ("median mm", 10, [_cell(row["median_mm"], 2) for _, row in rows]),
        ("MRE px", 8, [_cell(row["mre_px"], 1) for _, row in rows]),
        *((f"<{radius} mm", len(radius) + 5, [_cell(row["sdr"][radius], 1) for _, row in rows]) for radius in radii),
    ]
    left_out: list[str] = []
    while name_width + sum(width for _, width, _ in columns) > _COLUMNS:
        columns.pop()
        left_out.insert(0, radii.pop())
    lines = [" " * name_width + "".join(f"{header:>{width}}" for header, width, _ in columns)]
    for index, (name, _) in enumerate(rows):
        shown = name if len(name) <= name_width else name[: name_width - 3] + "..."
        lines.append(f"{shown:<{name_width}}" + "".join(f"{cells[index]:>{width}}" for _, width, cells in columns))
    return lines, left_out


def _line(text: str) -> str:
    """Text on one line that cannot steer the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _cell(value: float | None, decimals: int) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"
