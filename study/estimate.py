"""How large the error is on the images that nobody accepted.

A model tells what error it expects in each image. From two templates on, its training has found the templates by models
of the others, held out in at most five parts, and knows by what factor that was off from what these expected. Times
what the model of one template fewer expected of the images that nobody accepted, it is the estimate for that model:
rather too large from six templates on, for then several are held out at once. What is expected of each image takes
part, for people accept the images of the greatest doubt first.

Errors in these are larger than elsewhere even in proportion. By how much, the first two tell: with one template, what
is expected is right in the mean (``docs/accuracy.md``), so what their factor is above 1 is their own. Among the K + 1
images that were held out for K templates, it is counted for those two.
"""

from collections.abc import Sequence

import numpy as np

from bundle.writers.files import write_json
from study.folder import Study, read_own
from study.proposals import Proposal

#: What is known, by number of templates.
FILE = "estimate.json"


def foresee(study: Study, templates: int, factor: float, left_out: float, proposals: Sequence[Proposal]) -> None:
    """Keep what a model expects.

    Args:
        study: the study.
        templates: how many the model has; what was known of more is forgotten.
        factor: the mean one by which it multiplies expected errors, 1 with one template.
        left_out: the mean one that was right for the templates by models of the others; 1 with one template.
        proposals: what it found in the images that nobody accepted.
    """
    unit = "px" if any(one.spacing is None for one in proposals) else "mm"
    errors = [one.expected_error * (one.mm_per_pixel if unit == "mm" else 1.0) for one in proposals]
    known = np.concatenate([row[np.isfinite(row)] for row in errors]) if errors else np.empty(0)
    row = {"expected": float(known.mean()) / factor if known.size else None, "unit": unit, "left_out": left_out}
    path = study.own / FILE
    with study.changing():
        before = {count: one for count, one in read_own(path).items() if int(count) < templates}
        write_json(path, {**before, str(templates): row})


def curve(study: Study) -> list[tuple[int, float, str]]:
    """Number of templates, estimated error and its unit: for one, and for each number of which the next has told."""
    rows = {int(count): row for count, row in read_own(study.own / FILE).items()}
    excess = rows[2]["left_out"] - 1 if 2 in rows else 0.0
    points = []
    for count, row in sorted(rows.items()):
        if row["expected"] is None:
            continue
        if count == 1:
            points.append((count, row["expected"], row["unit"]))
        elif count + 1 in rows:
            ratio = rows[count + 1]["left_out"] / (1 + excess * 2 / (count + 1))
            points.append((count, row["expected"] * ratio, row["unit"]))
    return points
