"""How large the error is, by leave-one-out: each accepted image is found with the other ones as templates."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bundle.errors import BundleError
from bundle.writers.json_file import write_json
from study.annotations import AnnotatedImage
from study.folder import Study, read_own

#: With more accepted images so many of them, drawn at random, are left out in turn.
MOST_LEFT_OUT = 6


def leave_one_out(
    study: Study,
    cases: Sequence[AnnotatedImage],
    open_finder: Callable[[Sequence[AnnotatedImage]], Any],
    go_on: Callable[[int, int], bool],
) -> dict[str, Any] | None:
    """Measure, and keep the outcome in the study under the number of templates.

    Args:
        study: the study.
        cases: K accepted images with all their landmarks; at least two.
        open_finder: makes a finder of annotated images, as the study's model is made.
        go_on: called with how many images are done and how many there are; False stops.

    Returns:
        ``mre`` (mm where the spacing is known, else pixels), ``unit``, ``images`` with the error of each landmark; None
        where it was stopped.
    """
    order = list(range(len(cases)))
    if len(cases) > MOST_LEFT_OUT:
        order = np.random.default_rng(len(cases)).choice(len(cases), MOST_LEFT_OUT, replace=False).tolist()
    images: dict[str, list[float]] = {}
    known_mm = True
    for done, index in enumerate(order):
        if not go_on(done, len(order)):
            return None
        case, others = cases[index], [other for other in cases if other is not cases[index]]
        truth = case.landmarks()
        try:
            found = open_finder(others).find(case.image, spacing=study.spacings().get(case.image_id))
        except BundleError:
            continue
        away = found.points[[found.names.index(name) for name in truth.names]] - truth.points
        known_mm &= found.spacing is not None
        images[case.image_id] = np.linalg.norm(away * (found.spacing or (1.0, 1.0)), axis=1).tolist()
    if not images:
        return None
    values = np.array(list(images.values()))
    estimate = {"mre": float(np.nanmean(values)), "unit": "mm" if known_mm else "px", "images": images}
    path = study.own / "estimates.json"
    with study.changing():
        write_json(path, {**read_own(path), str(len(cases) - 1): estimate})
    return estimate


def curve(study: Study) -> list[tuple[int, float, float, str]]:
    """For each number of templates: the number, the estimated error, its standard error over images, and its unit."""
    rows = []
    for count, row in read_own(study.own / "estimates.json").items():
        means = [float(np.nanmean([math.nan if v is None else v for v in errors])) for errors in row["images"].values()]
        spread = float(np.std(means, ddof=1) / math.sqrt(len(means))) if len(means) > 1 else math.nan
        rows.append((int(count), float(row["mre"]), spread, str(row["unit"])))
    return sorted(rows)
