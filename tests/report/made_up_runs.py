"""Runs that were never run: images of a grating, landmarks at known places, errors that are known."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bundle.metrics.error_summary import summarise_run
from bundle.metrics.landmark_metrics import landmark_errors
from bundle.records.landmarks import LandmarkSet
from bundle.records.prediction import LandmarkPrediction
from bundle.records.radiograph import Template
from bundle.report.cases import ReportRun, small_jpeg
from bundle.writers.files import json_values

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
    own_names = names or tuple(f"landmark {i + 1}" for i in range(landmarks))
    unknown = np.full(landmarks, np.nan)
    cases, truths = [], []
    for index in range(images):
        truth = template + generator.normal(0, 2, 2) + generator.normal(0, 1.5, template.shape)
        length = generator.gamma(2.0, 0.5 + 0.25 * index, landmarks)
        angle = generator.uniform(0, 2 * np.pi, landmarks)
        confidence = np.clip(np.exp(-length / 8) + generator.normal(0, 0.05, landmarks), 0, 1)
        truths.append(truth)
        cases.append(
            LandmarkPrediction(
                image_id=f"image_{index:04d}",
                path=Path(f"image_{index:04d}.png"),
                names=own_names,
                points=truth + length[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1),
                similarity=unknown,
                back_match_error=unknown,
                spread=unknown,
                confidence=confidence,
                expected_error=length * generator.uniform(0.7, 1.3, landmarks) if calibrated else unknown,
                width=WIDTH,
                height=HEIGHT,
                spacing=spacing,
                spacing_source=None,
                pixel_to_lps=np.eye(3),
            )
        )
    run = ReportRun(
        kind=kind,
        cases=cases,
        seconds=[0.5] * images,
        template=Template(pixels(), LandmarkSet(own_names, template), spacing, "template.png"),
        settings={"model": "zero-shot", "pixel_spacing": [0.5, 0.5], "matching": {"patch": 3, "prior": None}},
        versions={"python": "3.11"},
        created="2026-01-02 03:04 UTC",
        **other,
    )
    return with_truths(run, np.array(truths).reshape(images, landmarks, 2)) if kind == "evaluation" else run


def with_truths(run: ReportRun, truths: np.ndarray) -> ReportRun:
    """The run with these true points, (M, N, 2), and what ``metrics.json`` would hold of it."""
    errors = landmark_errors(run.cases, truths, run.names)
    metrics = json_values(summarise_run(errors, RADII, resamples=20))
    return replace(run, truths=truths, measured=errors, metrics=metrics)


def make_pictures(run: ReportRun) -> Callable[[str], bytes | None]:
    """A picture of each image of a run."""
    return {case.image_id: small_jpeg(pixels(index)) for index, case in enumerate(run.cases)}.get
