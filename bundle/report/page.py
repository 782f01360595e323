"""The page: a run to one HTML file that needs nothing else."""

import base64
import hashlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bundle.metrics.error_summary import mean, summarise
from bundle.records.prediction import MeasuredValue
from bundle.report.cases import (
    ReportRun,
    case_columns,
    case_order,
    case_scores,
    choose_cases,
    viewer_data,
)
from bundle.report.figures import (
    DARK,
    LIGHT,
    STYLE,
    ReportFigure,
    as_svg,
    box_plot,
    calibration_plot,
    detection_curve,
    risk_plot,
)
from bundle.report.shape import shape_plot
from bundle.writers.files import atomic_file, printable
from bundle.writers.overlay import UNITS, abbreviations
from bundle.writers.run_files import cell, landmark_table

#: Bytes of all pictures of a report together, as JPEG files, before those of images that are not among the worst, the
#: middle and the best are left out; in the page they take a third more.
PICTURE_BUDGET = 16_000_000

#: Names that a remark lists at most.
_LISTED = 100

_TEMPLATES = Path(__file__).parent / "templates"


def draw_figures(run: ReportRun) -> list[ReportFigure]:
    """All figures that a run has the data for."""
    errors, confidence, expected = run.errors, run.confidences, run.expected_errors
    with mpl.rc_context(STYLE):
        alike = [case for case in run.cases if run.has_truth or not case.pose.other_kind]
        shape = shape_plot(alike, run.truths, run.template)
        if run.metrics is None:
            figures = [
                box_plot(expected, run.names, "expected error", run.unit)
                or box_plot(confidence, run.names, "confidence"),
                shape,
            ]
        else:
            figures = [
                detection_curve(errors, run.unit, [float(radius) for radius in run.metrics["sdr"]]),
                risk_plot(errors, confidence, run.unit),
                box_plot(errors, run.names, "error", run.unit),
                shape,
                calibration_plot(expected, errors, run.unit),
            ]
    return [figure for figure in figures if figure]


def write_page(path: Path, run: ReportRun, picture: Callable[[str], bytes | None]) -> Path:
    """Write the report of a run.

    Args:
        path: the file.
        run: the run.
        picture: the small picture of an image, a JPEG file, by the image's id; None where there is none.

    Returns:
        The file. It loads nothing: pictures, styles and the script are in it, and its content security policy forbids
        everything else. All text is escaped.

    Raises:
        BundleError: when the file cannot be written.
    """
    scores = case_scores(run)
    groups = choose_cases(scores, run.other_kinds)
    gallery = [index for members in groups.values() for index in members]
    worst, best = ("Largest errors", "Smallest errors") if run.has_truth else ("Least sure", "Surest")
    titles = {"other": "Probably another kind of image", "worst": worst, "median": "Around the median", "best": best}
    order = case_order(run, scores)
    pictures: dict[int, str] = {}
    budget = PICTURE_BUDGET
    for index in dict.fromkeys([*gallery, *order]):
        if budget < 0 and index not in gallery:
            break
        if jpeg := picture(run.cases[index].image_id):
            budget -= len(jpeg)
            pictures[index] = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
    shown = sorted({*gallery, *pictures})
    errors, expected = run.errors, run.expected_errors
    truths = [None] * len(run.cases) if run.truths is None else run.truths
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = _style(), (_TEMPLATES / "report.js").read_text(encoding="utf-8")
    context = {
        "run": run,
        "csp": (
            f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
            "base-uri 'none'; form-action 'none'"
        ),
        "style": Markup(style),
        "script": Markup(script),
        "title": f"{run.kind.capitalize()} of {_count(len(run.cases), 'image')}",
        "tiles": tiles(run),
        "landmark_table": None if run.metrics is None else landmark_table(run.metrics),
        "measurement_table": measurement_table(run),
        "figures": [(figure, as_svg(figure)) for figure in draw_figures(run)],
        "groups": [(titles[name], members) for name, members in groups.items()],
        "widest": max(map(len, groups.values()), default=0),
        "judged": {index: _judged(run, index, scores[index]) for index in gallery},
        "pictures": pictures,
        "columns": case_columns(run),
        "order": order,
        "pictured": set(shown),
        "stored": [index for index in pictures if index not in gallery],
        "data": {
            "names": run.names,
            "labels": abbreviations(run.names),
            "unit": run.unit,
            "expected": bool(np.isfinite(expected).any()),
            "truth": run.has_truth,
            "order": shown,
            "cases": {
                index: viewer_data(run.cases[index], truths[index], errors[index], expected[index]) for index in shown
            },
        },
        "remarks": [(title, names[:_LISTED], max(0, len(names) - _LISTED)) for title, names in run.remarks if names],
        "settings": settings_rows(run.settings),
    }
    with atomic_file(path) as file:
        for piece in environment.get_template("report.html.j2").generate(context):
            file.write(printable(piece))
    return path


def _judged(run: ReportRun, index: int, score: float) -> str:
    if run.has_truth:
        judged = f"mean error {score:.2f} {run.unit}" if np.isfinite(score) else "a landmark was not found"
    else:
        judged = f"mean confidence {1 - score:.2f}" if np.isfinite(score) else ""
    return ", ".join(filter(None, [judged, run.cases[index].pose.words()]))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _style() -> str:
    """The style sheet with the colours of :mod:`bundle.report.figures`."""
    sheet = (_TEMPLATES / "style.css").read_text(encoding="utf-8")
    for name, colours in (("LIGHT", LIGHT), ("DARK", DARK)):
        sheet = sheet.replace(f"/*{name}*/", "".join(f"--{key}:{value};" for key, value in colours.items()))
    return sheet


def _digest(text: str) -> str:
    """A source of a content security policy that allows this text alone."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def tiles(run: ReportRun) -> list[tuple[str, str, str, str]]:
    """The numbers that are looked at first: what each is, its value, its unit, and what more there is to say."""
    confidence = run.confidences
    further = []
    if np.isfinite(confidence).any():
        further.append(("Mean confidence", f"{mean(confidence):.2f}", "", "0 to 1"))
        if not run.has_truth:
            if np.isfinite(run.expected_errors).any():
                further.append(("Expected error", f"{mean(run.expected_errors):.2f}", run.unit, "mean"))
            low = int((confidence < 0.5).sum())
            counted = int(np.isfinite(confidence).sum())
            further.append(("Unsure points", str(low), "", f"of {counted}, confidence below 0.5"))
    if run.other_kinds:
        further.append(("Of another kind", str(len(run.other_kinds)), "", f"of {len(run.cases)} images, probably"))
    if run.seconds:
        seconds = mean(np.array(run.seconds))
        further.append(("Time per image", f"{seconds:.2f}", "s", "without writing"))
    metrics = run.metrics
    if metrics is None:
        return [("Images", str(len(run.cases)), "", ""), *further]
    if run.unit == "px":
        median = cell(summarise(run.errors)["median"], 1)
        first = ("Mean radial error", cell(metrics["mre_px"], 1), "px", "no pixel spacing is known")
        return [first, ("Median error", median, "px", ""), *further]
    rates = [
        (f"Within {float(radius):g} mm", cell(rate, 1), "%", "successful detection rate")
        for radius, rate in metrics["sdr"].items()
    ]
    failures = metrics["failures"]
    over = "" if metrics["max_mm"] is None else f"largest {metrics['max_mm']:.1f} mm"
    return [
        ("Mean radial error", cell(metrics["mre_mm"]), "mm", _interval(metrics)),
        ("Median error", cell(metrics["median_mm"]), "mm", ""),
        *rates[:1],
        (f"Over {failures['threshold_mm']:g} mm", cell(failures["percent"]), "%", over),
        *further,
    ]


def measurement_table(run: ReportRun) -> tuple[list[str], list[list[str]]]:
    """Header and rows of what was measured between the landmarks, over all images; no rows where nothing was."""
    named: dict[str, list[MeasuredValue]] = {}
    for case in run.cases:
        for value in case.measurements:
            named.setdefault(value.name, []).append(value)
    rows = []
    for name, values in named.items():
        known = np.array([value.value for value in values if math.isfinite(value.value)])
        first, unit = values[0], UNITS[values[0].unit]
        judged = [value for value in values if value.normal is not None]
        numbers = [known.mean(), known.std(), known.min(), known.max()] if known.size else [math.nan] * 4
        outside = f"{sum(not value.normal for value in judged)} of {len(judged)}" if judged else ""
        cells = [f"{cell(number, first.decimals)}{'' if math.isnan(number) else unit}" for number in numbers]
        rows.append([f"{name}: {first.title}" if first.title != name else name, str(known.size), *cells, outside])
    return ["Measurement", "Images", "Mean", "Std", "Lowest", "Highest", "Outside the normal range"], rows


def settings_rows(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Settings of any depth as rows of name and value; names of inner ones follow a dot."""
    rows: list[tuple[str, str]] = []
    for key, value in settings.items():
        inner = isinstance(value, Mapping) and value
        rows += settings_rows(value, f"{prefix}{key}.") if inner else [(f"{prefix}{key}", str(value))]
    return rows


def _interval(metrics: Mapping[str, Any]) -> str:
    """How sure the mean error is, or for one image how far the errors spread."""
    low, high = metrics["intervals"]["mre_mm"]
    if low is not None and high is not None:
        return f"{low:.2f} to {high:.2f} mm, {metrics['intervals']['level']:.0%} interval"
    return "" if metrics["std_mm"] is None else f"± {metrics['std_mm']:.2f} mm standard deviation"
