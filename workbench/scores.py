"""How good the proposals were, how the error falls, how readers agree, and what changed when."""

import asyncio
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from nicegui import ui

from bundle.errors import BundleError
from bundle.metrics.error_summary import detection_rate
from study import FINAL, ORIGINAL
from study.estimate import curve
from study.folder import UNKEPT
from study.journal import entries
from workbench import texts as t
from workbench.bench import Bench
from workbench.shell import Shell

#: The radius of the detection rate, in mm, or in pixels where no spacing is known.
RADIUS = {"mm": 2.0, "px": 10.0}

#: Changes that are shown.
SHOWN_CHANGES = 30


def table(caption: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table of numbers, the first column being names."""
    frame = ui.element("div").style("overflow-x: auto").props("tabindex=0 role=region")
    frame.props["aria-label"] = caption
    with frame, ui.element("table").classes("wb-table"):
        with ui.element("thead"), ui.element("tr"):
            for place, text in enumerate(header):
                with ui.element("th").props("scope=col").classes("n" if place else ""):
                    ui.label(text)
        with ui.element("tbody"):
            for row in rows:
                with ui.element("tr"):
                    for place, value in enumerate(row):
                        with ui.element("td" if place else "th").classes("n" if place else ""):
                            ui.label(f"{value:.2f}" if isinstance(value, float) else str(value))


def distances(bench: Bench) -> tuple[list[str], np.ndarray, str]:
    """Of each accepted image that had been found before: how far what was found is from what was accepted.

    Returns:
        The images, the distances (M, N) with NaN where there is none, and their unit.
    """
    protocol = bench.study.protocol()
    names = () if protocol is None else protocol.names
    found, truths = bench.loop.proposals.of_accepted(names, bench.accepted())
    unit = "px" if any(one.spacing is None for one in found) else "mm"
    scales = [one.spacing if one.spacing and unit == "mm" else (1.0, 1.0) for one in found]
    away = np.array([(one.points - truth) * scale for one, truth, scale in zip(found, truths, scales)])
    return [one.image_id for one in found], np.linalg.norm(away.reshape(len(found), len(names), 2), axis=2), unit


def summary(name: str, errors: np.ndarray, radius: float) -> list[Any]:
    """A row of a table, of distances (M, N) in M images: how many images have any, their size, and the SDR."""
    known = errors[np.isfinite(errors)]
    if not known.size:
        return [name, 0, "-", "-", "-", "-"]
    rate = float(detection_rate(known, [radius])[0])
    images = int(np.isfinite(errors).any(axis=1).sum())
    return [name, images, float(known.mean()), float(np.median(known)), float(known.max()), f"{rate:.0f} %"]


def readers(bench: Bench) -> dict[str, dict[str, np.ndarray]]:
    """The accepted points of each reader, by tag and image."""
    found: dict[str, dict[str, np.ndarray]] = {}
    folder = bench.study.folder / "labels"
    tags = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    for tag in tags:
        if UNKEPT.fullmatch(tag) or tag == ORIGINAL:
            continue
        points = {}
        for case in bench.study.annotated(tag):
            try:
                marks = bench.study.marks(case.image_id, tag) or []
            except BundleError:
                continue
            points[case.image_id] = {mark.name: mark.point for mark in marks}
        protocol = bench.study.protocol()
        names = protocol.names if protocol is not None else ()
        found[tag] = {
            image: np.array([by_name.get(name) or (np.nan, np.nan) for name in names]).reshape(-1, 2)
            for image, by_name in points.items()
        }
    return {tag: images for tag, images in found.items() if images or tag == FINAL}


async def scores_page(bench: Bench) -> None:
    """The page of scores."""
    Shell(bench, t.SCORES)
    protocol = bench.study.protocol()
    images, errors, unit = await asyncio.to_thread(distances, bench)
    with ui.element("section").classes("wb-page"):
        ui.label(t.SCORES).classes("wb-title").props("role=heading aria-level=1")
        ui.label(t.SCORES_HINT)
        if protocol is None or not images:
            ui.label(t.NO_SCORES)
        else:
            within = t.WITHIN.format(radius=f"{RADIUS[unit]:g}", unit=unit)
            header = (t.LANDMARK, t.COUNT, f"{t.MEAN} ({unit})", t.MEDIAN, t.LARGEST, within)
            rows = [summary(t.ALL, errors, RADIUS[unit])]
            rows += [summary(name, errors[:, [index]], RADIUS[unit]) for index, name in enumerate(protocol.names)]
            table(t.SCORES, header, rows)
        ui.label(t.CURVE).classes("wb-title").props("role=heading aria-level=2")
        ui.label(t.CURVE_HINT)
        points = curve(bench.study)
        if points:
            _draw(points)
            table(t.CURVE, (t.TEMPLATES, t.ERROR), [(str(count), f"{value:.2f} {of}") for count, value, of in points])
        else:
            ui.label(t.NO_CURVE)
        ui.label(t.READERS).classes("wb-title").props("role=heading aria-level=2")
        _agreement(bench, await asyncio.to_thread(readers, bench))
        ui.label(t.JOURNAL).classes("wb-title").props("role=heading aria-level=2")
        changes = list(entries(bench.study.journal))[-SHOWN_CHANGES:][::-1]
        table(t.JOURNAL, (t.WHEN, t.WHAT, t.IMAGE, t.READER), map(_change, changes))


def _change(change: dict[str, Any]) -> list[Any]:
    about = change.get("image") or ", ".join(change.get("templates") or change.get("images") or [])
    return [change["time"][:19].replace("T", " "), change["action"], about, change.get("by", "")]


def _draw(points: Sequence[tuple[int, float, str]]) -> None:
    ui.echart(
        {
            "aria": {"enabled": True},
            "animation": False,
            "grid": {"left": 60, "right": 20, "top": 36, "bottom": 45},
            "xAxis": {"type": "value", "name": t.TEMPLATES, "nameLocation": "middle", "nameGap": 28, "minInterval": 1},
            "yAxis": {"type": "value", "name": f"{t.ERROR} ({points[0][2]})", "min": 0},
            "series": [{"type": "line", "data": [[count, round(value, 3)] for count, value, *_ in points]}],
        }
    ).style("height: 260px; max-width: 640px")


def _agreement(bench: Bench, found: dict[str, dict[str, np.ndarray]]) -> None:
    pairs = list(combinations(found, 2))
    if not pairs:
        ui.label(t.ONE_READER)
        return
    ui.label(t.READERS_HINT)
    rows = []
    for one, other in pairs:
        shared = sorted(set(found[one]) & set(found[other]))
        away, units = [], set()
        for image_id in shared:
            try:
                spacing = bench.study.geometry(image_id).spacing
            except BundleError:
                continue
            units.add("px" if spacing is None else "mm")
            away.append(np.linalg.norm((found[one][image_id] - found[other][image_id]) * (spacing or (1, 1)), axis=1))
        unit = "mm" if units == {"mm"} else "px"
        rows.append(summary(f"{one}, {other} ({unit})", np.array(away), RADIUS[unit]))
    within = t.WITHIN.format(radius=f"{RADIUS['mm']:g} mm, {RADIUS['px']:g}", unit="px")
    table(t.READERS, (t.READERS, t.COUNT, t.MEAN, t.MEDIAN, t.LARGEST, within), rows)
