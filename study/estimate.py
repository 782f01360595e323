"""How large the error is on the images that nobody accepted.

Each accepted image is found with the other ones as templates. People accept the images of the greatest doubt first, so
the errors there are larger than elsewhere, but they are larger in proportion to what was expected of them. So the
estimate is what is expected of the images that nobody accepted, times the ratio of the errors to what was expected of
those that were left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bundle.errors import BundleError
from bundle.writers.files import write_json
from study.annotations import AnnotatedImage
from study.folder import Study, read_own
from study.proposals import Proposal

#: What is known, by number of templates.
FILE = "estimates.json"

#: With more accepted images so many of them, drawn at random, are left out in turn.
MOST_LEFT_OUT = 6


def leave_one_out(
    study: Study,
    cases: Sequence[AnnotatedImage],
    source: str,
    open_finder: Callable[[Sequence[AnnotatedImage]], Any],
    go_on: Callable[[int, int], bool],
) -> bool:
    """Measure, and keep what is measured in the study under the number of templates, image by image.

    Args:
        study: the study.
        cases: K accepted images with all their landmarks; at least two.
        source: what they are, see :meth:`study.loop.Loop.source`: what was measured of them before is not done again.
        open_finder: makes a finder of annotated images, as the study's model is made.
        go_on: called with how many images are done and how many there are; False stops.

    Returns:
        Whether it came to its end.
    """
    order = list(range(len(cases)))
    if len(cases) > MOST_LEFT_OUT:
        order = np.random.default_rng(len(cases)).choice(len(cases), MOST_LEFT_OUT, replace=False).tolist()
    path, key = study.own / FILE, str(len(cases) - 1)
    row = read_own(path).get(key, {})
    if row.get("source") != source:
        row |= {"source": source, "unit": "mm", "images": {}, "expected": {}}
    for done, index in enumerate(order):
        case, others = cases[index], [other for other in cases if other is not cases[index]]
        if case.image_id in row["images"]:
            continue
        if not go_on(done, len(order)):
            return False
        truth = case.landmarks()
        try:
            found = open_finder(others).find(case.image, spacing=study.spacings().get(case.image_id))
        except BundleError:
            continue
        places = [found.names.index(name) for name in truth.names]
        away, scale = (found.points[places] - truth.points) * (found.spacing or (1.0, 1.0)), found.mm_per_pixel
        if found.spacing is None:
            row["unit"], scale = "px", 1.0
        row["images"][case.image_id] = np.linalg.norm(away, axis=1).tolist()
        row["expected"][case.image_id] = (found.expected_error[places] * scale).tolist()
        with study.changing():
            write_json(path, {**read_own(path), key: row})
    return True


def foresee(study: Study, templates: int, proposals: Sequence[Proposal]) -> None:
    """Keep what is expected of the images that nobody accepted, in mm where the spacing is known, else in pixels."""
    rows = [one.expected_error * (one.mm_per_pixel if one.spacing else 1.0) for one in proposals]
    known = np.concatenate([row[np.isfinite(row)] for row in rows]) if rows else np.empty(0)
    path = study.own / FILE
    with study.changing():
        all_rows = read_own(path)
        foreseen = float(known.mean()) if known.size else None
        write_json(path, {**all_rows, str(templates): {**all_rows.get(str(templates), {}), "foreseen": foreseen}})


def curve(study: Study) -> list[tuple[int, float, float, str]]:
    """For each number of templates: the number, the estimated error, its standard error over images, and its unit."""
    rows = []
    for count, row in read_own(study.own / FILE).items():
        if not row.get("images"):
            continue
        errors, expected = (np.array(list(row[name].values()), dtype=np.float64) for name in ("images", "expected"))
        foreseen = row.get("foreseen")
        if foreseen is None or not np.isfinite(expected).all():
            foreseen, expected = 1.0, np.ones_like(errors)
        means = foreseen * np.nanmean(errors, axis=1) / expected.mean(axis=1)
        spread = float(np.std(means, ddof=1) / math.sqrt(len(means))) if len(means) > 1 else math.nan
        rows.append((int(count), float(foreseen * np.nanmean(errors) / expected.mean()), spread, str(row["unit"])))
    return sorted(rows)
