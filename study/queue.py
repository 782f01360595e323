"""What to look at next: the images that nobody accepted, those of the greatest doubt first, each with its reasons."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from study.proposals import Proposal
from study.protocol import Protocol

#: How many times the median of all images a value must be to be a reason of its own.
CONSPICUOUS = 1.6


@dataclass(frozen=True)
class Doubt:
    """Why an image stands where it does.

    Attributes:
        image_id: the image.
        doubt: how much there is; 1 is usual.
        expected: the mean expected error of its landmarks: in mm where the spacing of all images is known, else in
            pixels; NaN where no error is known.
        worst: number of the landmark with the largest expected error; None where no error is known.
        worst_error: that error.
        unit: ``"mm"`` or ``"px"``.
        reasons: any of ``"swapped"``, ``"shape"``, ``"unlike"`` and ``"error"``, the most telling first.
    """

    image_id: str
    doubt: float
    expected: float
    worst: int | None
    worst_error: float
    unit: str
    reasons: tuple[str, ...]


def rank(proposals: Sequence[Proposal], protocol: Protocol, accepted: Sequence[np.ndarray]) -> list[Doubt]:
    """Put images in order.

    Args:
        proposals: what was found in each of them, with the protocol's landmarks.
        protocol: the landmarks, with the pairs of left and right.
        accepted: the landmarks of images that a person accepted, (N, 2) each, NaN where one is missing.

    Returns:
        The images, the greatest doubt first.
    """
    if not proposals:
        return []
    unit = "px" if any(one.spacing is None for one in proposals) else "mm"
    errors = np.array([one.expected_error * (1.0 if unit == "px" else one.mm_per_pixel) for one in proposals])
    unlike = 1 - np.nan_to_num(np.array([np.nanmean(one.confidence) for one in proposals]), nan=0.0)
    expected = np.array([np.nanmean(row) if np.isfinite(row).any() else np.nan for row in errors])
    shapes = [one.points for one in proposals]
    bent = _deviations(shapes, [*shapes, *accepted])
    strengths = {"error": _ratio(expected), "unlike": _ratio(unlike), "shape": _ratio(bent)}
    strengths["swapped"] = np.array([3.0 if _swapped(points, protocol, accepted) else 0.0 for points in shapes])
    found = []
    for index, one in enumerate(proposals):
        by_reason = {name: float(values[index]) for name, values in strengths.items()}
        reasons = sorted(
            (name for name, value in by_reason.items() if value >= CONSPICUOUS), key=lambda n: -by_reason[n]
        )
        known = bool(np.isfinite(errors[index]).any())
        worst = int(np.nanargmax(errors[index])) if known else None
        doubt = by_reason["error"] + sum(by_reason[name] - 1 for name in reasons if name != "error")
        found.append(
            Doubt(
                one.image_id,
                doubt,
                float(expected[index]),
                worst,
                float(errors[index][worst]) if worst is not None else np.nan,
                unit,
                tuple(reasons),
            )
        )
    return sorted(found, key=lambda row: (-row.doubt, row.image_id))


def doubt_of_landmark(proposals: Sequence[Proposal], index: int) -> np.ndarray:
    """How doubtful one landmark is in each image, (M,): its expected error, or how little the model is sure of it."""
    errors = np.array([one.expected_error[index] for one in proposals])
    return np.where(np.isfinite(errors), errors, 1 - np.array([one.confidence[index] for one in proposals]))


def _ratio(values: np.ndarray) -> np.ndarray:
    """Values in units of their median; 1 where one is not known or there is nothing to compare with."""
    known = values[np.isfinite(values) & (values > 0)]
    if len(known) < 2:
        return np.ones(len(values))
    return np.where(np.isfinite(values), values / np.median(known), 1.0)


def _deviations(shapes: Sequence[np.ndarray], everyone: Sequence[np.ndarray]) -> np.ndarray:
    """The median distance of each shape's points from those of the usual shape, as a share of its size, (M,)."""
    whole = [_normal(points) for points in everyone if np.isfinite(points).all()]
    if len(whole) < 3:
        return np.full(len(shapes), np.nan)
    usual = np.median(whole, axis=0)
    found = []
    for points in shapes:
        known = np.isfinite(points).all(axis=1)
        if known.sum() < 3:
            found.append(np.nan)
            continue
        design = np.column_stack([usual[known] @ np.array([1, 1j]), np.ones(known.sum())])
        place = points[known] @ np.array([1, 1j])
        solution, *_ = np.linalg.lstsq(design, place, rcond=None)  # turned, scaled and moved
        found.append(float(np.mean(np.abs(design @ solution - place)) / max(abs(solution[0]), 1e-9)))
    return np.array(found)


def _normal(points: np.ndarray) -> np.ndarray:
    centred = points - points.mean(axis=0)
    return centred / max(float(np.linalg.norm(centred)), 1e-9)


def _swapped(points: np.ndarray, protocol: Protocol, accepted: Sequence[np.ndarray]) -> bool:
    """Whether most pairs of left and right lie the other way round than in the images that a person accepted."""
    names = list(protocol.names)
    votes = []
    for left, right in protocol.pairs:
        one, other = names.index(left), names.index(right)
        usual = [np.sign(shape[other, 0] - shape[one, 0]) for shape in accepted]
        usual = [sign for sign in usual if np.isfinite(sign)]
        here = points[other, 0] - points[one, 0]
        if usual and np.isfinite(here):
            votes.append(np.sign(here) != np.sign(np.sum(usual)))
    return bool(votes) and np.mean(votes) > 0.5
