"""How far from the truth a point probably is, from what the matching itself knows of it."""

import torch
from torch import Tensor

#: The logarithm of the expected error, as a fraction of the layout's extent, is linear in these: one, the logarithm of
#: the widened posterior's spread (a fraction of the extent plus FLOOR), and the similarity. Gamma regression on
#: cephalograms of the development set with odd numbers, eleven single templates and nine draws of 3 to 10:
#: ``docs/accuracy.md``.
INTERCEPT, SPREAD, SIMILARITY = 1.70, 1.31, -1.23
FLOOR = 0.006

#: Expected error, as a fraction of the extent, at which the confidence is one half: 1.5 mm on a cephalogram.
HALF_CONFIDENCE = 0.011


def expected_error(spread: Tensor, similarity: Tensor, extent: float) -> Tensor:
    """The expected distance of each point from the truth.

    Args:
        spread: (N,), root mean square radius of the posterior, widened by
            :data:`bundle.matching.posterior_matcher.WIDENING`, in pixels.
        similarity: (N,), cosine similarity to the template landmark.
        extent: extent of the layout on the query, in pixels.

    Returns:
        tensor of shape (N,), in pixels.
    """
    logarithm = INTERCEPT + SPREAD * torch.log(spread / extent + FLOOR) + SIMILARITY * similarity
    return extent * logarithm.exp()


def confidence_of(expected: Tensor, extent: float) -> Tensor:
    """One number from 0 to 1 for each landmark, falling with its expected error.

    Args:
        expected: (N,), expected error in pixels.
        extent: extent of the layout on the query, in pixels.

    Returns:
        tensor of shape (N,): one half at an expected error of :data:`HALF_CONFIDENCE` of the extent.
    """
    return 1.0 / (1.0 + (expected / (HALF_CONFIDENCE * extent)).square())
