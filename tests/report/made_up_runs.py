"""Runs that were never run: images of a grating, landmarks at known places, errors that are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bundle.metrics.error_summary import LandmarkErrors, summarise_run
from bundle.records.landmarks import LandmarkSet
from bundle.records.template import Template
from bundle.report import PictureStore, ReportCase, ReportRun
from bundle.writers.json_file import json_values

#: Text that would do harm in a page that does not escape it.
HOSTILE = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(2)>"

RADII = (2.0, 2.5, 3.0, 4.0)
WIDTH, HEIGHT = 200, 240


def pixels(seed: int = 0) -> np.ndarray:
    """(HEIGHT, WIDTH) grey values with some structure."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return (0.5 + 0.5 * np.sin(x / 9 + seed) * np.cos(y / 13)).astype(np.float32) * 0.7


def shape(count: int) -> np.ndarray:
    """(count, 2) points on a spiral well inside the image, ``(x, y)``."""
    turn = np.linspace(0.3, 5.9, count)
    radius = np.linspace(25, 80, count)
    return np.stack([100 + radius * np.cos(turn), 120 + radius * np.sin(turn)], axis=1)


def make_run(
    images: int = 12,
    landmarks: int = 5,
    *,
    kind: str = "evaluation",
    spacing: tuple[float, float] | None = (0.5, 0.5),
    calibrated: bool = False,
    names: tuple[str, ...] | None = None,
    **other: Any,
) -> ReportRun:
    """A run; image ``i`` has errors that grow with ``i``, and confidences that fall with them."""
    generator = np.random.default_rng(7)
    template = shape(landmarks)
    cases = []
    for index in range(images):
        truth = template + generator.normal(0, 2, 2) + generator.normal(0, 1.5, template.shape)
        length = generator.gamma(2.0, 0.5 + 0.25 * index, landmarks)
        angle = generator.uniform(0, 2 * np.pi, landmarks)
        points = truth + length[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        confidence = np.clip(np.exp(-length / 8) + generator.normal(0, 0.05, landmarks), 0, 1)
        evaluated, step = kind == "evaluation", np.array(spacing or (np.nan, np.nan))
        unknown = np.full(landmarks, np.nan)
        cases.append(
            ReportCase(
                image_id=f"image_{index:04d}",
                width=WIDTH,
                height=HEIGHT,
                spacing=spacing,
                points=points,
                confidence=confidence,
                expected_error=length * generator.uniform(0.7, 1.3, landmarks) if calibrated else unknown,
                truth=truth if evaluated else None,
                error_px=np.linalg.norm(points - truth, axis=1) if evaluated else unknown,
                error_mm=np.linalg.norm((points - truth) * step, axis=1) if evaluated else unknown,
                seconds=0.5,
            )
        )
    landmark_set = LandmarkSet(names or tuple(f"landmark {i + 1}" for i in range(landmarks)), template)
    run = ReportRun(
        kind=kind,
        cases=cases,
        template=Template(pixels(), landmark_set, spacing, "template.png"),
        settings={"model": "zero-shot", "pixel_spacing": [0.5, 0.5], "matching": {"patch": 3, "prior": None}},
        versions={"python": "3.11"},
        created="2026-01-02 03:04 UTC",
        **other,
    )
    return with_metrics(run) if kind == "evaluation" else run


def with_metrics(run: ReportRun) -> ReportRun:
    """The run with what ``metrics.json`` would hold of it."""
    shape_of = (len(run.cases), len(run.names))
    px = np.array([case.error_px for case in run.cases]).reshape(shape_of)
    mm = np.array([case.error_mm for case in run.cases]).reshape(shape_of)
    errors = LandmarkErrors(tuple(case.image_id for case in run.cases), run.names, px, mm)
    metrics = json_values(summarise_run(errors, RADII, resamples=20))
    return ReportRun(**{**run.__dict__, "metrics": metrics})


def no_pixels(image_id: str) -> None:
    """The images of these runs are not there to be read once more."""


def make_pictures(run: ReportRun, folder: Path) -> PictureStore:
    """A picture of each image of a run."""
    store = PictureStore(folder, no_pixels)
    for index, case in enumerate(run.cases):
        store.add(case.image_id, pixels(index))
    return store
