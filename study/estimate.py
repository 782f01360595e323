"""How large the error is on the images that nobody accepted.

A model tells what error it expects in each image. From two templates on, its training has found each template with a
model of the others, and what it tells is multiplied by how far that was from what these expected. So that number,
which the next model brings, belongs to the models of one template fewer, and it is with it that what they expected of
the images that nobody accepted becomes an estimate. What was expected of each image takes part, for people accept the
images of the greatest doubt first, in which errors are larger than elsewhere.
"""

from collections.abc import Sequence

import numpy as np

from bundle.writers.files import write_json
from study.folder import Study, read_own
from study.proposals import Proposal

#: What is known, by number of templates.
FILE = "estimates.json"


def foresee(study: Study, templates: int, factor: float, proposals: Sequence[Proposal]) -> None:
    """Keep what a model expects.

    Args:
        study: the study.
        templates: how many the model has; what was known of more is forgotten.
        factor: the mean one by which it multiplies expected errors, 1 with one template.
        proposals: what it found in the images that nobody accepted.
    """
    unit = "px" if any(one.spacing is None for one in proposals) else "mm"
    errors = [one.expected_error * (one.mm_per_pixel if unit == "mm" else 1.0) for one in proposals]
    known = np.concatenate([row[np.isfinite(row)] for row in errors]) if errors else np.empty(0)
    row = {"expected": float(known.mean()) if known.size else None, "unit": unit, "factor": factor}
    path = study.own / FILE
    with study.changing():
        before = {count: one for count, one in read_own(path).items() if int(count) < templates}
        write_json(path, {**before, str(templates): row})


def curve(study: Study) -> list[tuple[int, float, str]]:
    """For each number of templates of which the next one has told: the number, the estimated error, and its unit."""
    rows = read_own(study.own / FILE)
    points = []
    for count, row in rows.items():
        later = rows.get(str(int(count) + 1))
        if later is not None and row["expected"] is not None:
            points.append((int(count), row["expected"] * later["factor"] / row["factor"], str(row["unit"])))
    return sorted(points)
