"""Annotations that the other templates contradict."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bundle.training.mixing import HeldOut

#: An annotation is doubtful where a model of the other templates finds its landmark further away than this fraction of
#: the layout's extent, this many times the median of all errors, and this many times what it expects of that point.
FAR, TIMES_MEDIAN, TIMES_EXPECTED = 0.06, 5.0, 2.5


class Doubt(NamedTuple):
    """One annotation that is probably wrong.

    Attributes:
        template: number of the template.
        landmark: number of the landmark.
        distance: pixels between the annotation and the place where a model of the other templates finds it.
    """

    template: int
    landmark: int
    distance: float


def doubtful_annotations(held_out: HeldOut) -> list[Doubt]:
    """The annotations that are probably wrong, the worst first.

    Args:
        held_out: how models of the other templates do on each template; ``expected`` before any calibration on these
            same errors, which a wrong annotation would have raised.
    """
    errors = held_out.errors
    limit = np.maximum(FAR * held_out.extents[:, None], TIMES_MEDIAN * np.median(errors))
    wrong = (errors > limit) & (errors > TIMES_EXPECTED * held_out.expected)
    found = [Doubt(int(k), int(n), float(errors[k, n])) for k, n in np.argwhere(wrong)]
    return sorted(found, key=lambda doubt: -doubt.distance)
