"""Which turn, mirror, polarity, scale and shift brings the template onto an image, and whether anything does."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bundle.encoders.base import FrozenEncoder
from bundle.pose.affine import apply, distortion, inside, scaling, turn_and_scale, warp
from bundle.pose.description import Places, cell_centres, describe, encode, shrink
from bundle.pose.fitting import Fit, fit_affine, fit_similarity
from bundle.pose.template_poses import FINE_SIDE, SIDE, Hypothesis, TemplatePoses
from bundle.records.radiograph import Template

ANGLES, SCALES = tuple(range(0, 360, 45)), (1.0, 0.6, 1.7)
#: Hypotheses of each scale that are verified, those with the most mutual matches first.
SHORTLIST = 6
#: Cells of the query by which a match may be off.
TOLERANCE = 2.0
#: A pose without any turn is taken at once with so many votes, and so many times those of any other.
EARLY_VOTES, EARLY_RATIO = 60.0, 1.5
#: With fewer votes than these it is looked at more closely all the same: the image may be squeezed.
SURE_VOTES = 120.0
#: A share from which on an image is taken for one of the template's kind.
SAME_KIND = 0.07
#: So many times the votes make a mirrored pose better than another one: what is nearly symmetric stays as it is.
MIRROR_DOUBT = 1.2
#: Cells that count at least as visible, so that a few that agree by chance are no high share.
FEWEST = 100
#: Nearly as the template lies: within so many degrees and such a factor beside the frames' long sides.
UPRIGHT_TURN, UPRIGHT_SCALE = 7.5, 1.15
#: The refinement may change a pose by so much.
MOST_TURN, MOST_SCALE = 45.0, 2.0
#: A map that changes lengths in one direction by more than this over the other is affine and not only noisy.
#: It has to explain so many times the votes, and is refined so often.
AFFINE, AFFINE_GAIN, AFFINE_ROUNDS = 1.12, 1.05, 3
#: The share of the template's cells that an image must show for an affine map, and the share of votes that this must
#: reach, for in images of another kind it explains more by chance than a similarity does.
WHOLE, AFFINE_SHARE = 0.9, 0.1


@dataclass(frozen=True)
class FoundPose:
    """A pose of the template on an image.

    Attributes:
        to_image: (3, 3), from square pixels of the template to square pixels of the image.
        inverted: whether the image is a negative of the template.
        votes: how many of the template's cells agree with it, each weighted by its similarity.
        share: that beside the number of cells which the image can show.
    """

    to_image: np.ndarray
    inverted: bool
    votes: float
    share: float

    @property
    def mirrored(self) -> bool:
        """Whether the image shows the template's mirror image."""
        return turn_and_scale(self.to_image)[0]


class _Matches(NamedTuple):
    """Mutual nearest neighbours of a template in some pose and a query.

    Attributes:
        hypothesis: the pose.
        points: (n, 2), all places of the template that might have matched, in its square pixels.
        inverted: whether the query is taken for a negative.
        source: (N, 2), square pixels of the template.
        target: (N, 2), square pixels of the query.
        similarity: (N,).
        promise: how much is to be hoped for.
    """

    hypothesis: Hypothesis
    points: np.ndarray
    inverted: bool
    source: np.ndarray
    target: np.ndarray
    similarity: np.ndarray
    promise: float


class _Query:
    """An image in which the template is looked for, described by each scale's whitening once."""

    def __init__(
        self, image: Tensor, aspect: float, side: float, encoder: FrozenEncoder, negative: bool = True
    ) -> None:
        self.image, self.aspect = image, aspect
        self.size = round(image.shape[-2] * aspect), int(image.shape[-1])
        small, to_small = shrink(image, aspect, side, encoder)
        self.features = encode(small, encoder, negative)
        self.points = apply(np.linalg.inv(to_small), cell_centres((small.shape[-2], small.shape[-1]), encoder))
        self.cell = encoder.stride / to_small[0, 0]
        self._described: dict[float, Places] = {}

    def places(self, poses: TemplatePoses, scale: float) -> Places:
        if scale not in self._described:
            self._described[scale] = Places(self.points, describe(self.features, poses.at_scale(scale)[2]))
        return self._described[scale]

    def shows(self, to_image: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Which of (n, 2) square pixels of the template lie on it."""
        return inside(apply(to_image, points), self.size)


class PoseFinder:
    """Looks for one annotated image in others.

    Args:
        template: the annotated image.
        encoder: what describes images: XFeat, for which the numbers here were found.
        device: where.

    Attributes:
        poses: the template in all its poses.
        spacing: millimetres per square pixel of the template; None where unknown.
    """

    def __init__(self, template: Template, encoder: FrozenEncoder, device: torch.device) -> None:
        self.encoder = encoder
        self.poses = TemplatePoses(template, encoder, device)
        self.spacing = None if template.spacing is None else template.spacing[0]

    def find(
        self,
        image: Tensor,
        aspect: float = 1.0,
        scale: float | None = None,
        mirrors: Sequence[bool] = (False, True),
    ) -> FoundPose | None:
        """The pose of the template in an image.

        Args:
            image: (1, 1, H, W), 0 to 1.
            aspect: height of its pixels over their width.
            scale: pixels of its anatomy for each pixel of the template's, where both spacings say it.
            mirrors: which sides are looked for.

        Returns:
            the best pose; None where no three cells agree on any.
        """
        for negative in (False, True):  # nearly all images lie as the template, and then one encoding is enough
            query = _Query(image, aspect, SIDE, self.encoder, negative)
            plain = self._verified(query, self._matched(query, (1.0,), (0,), mirrors))
            if plain and plain[0].votes > max([EARLY_VOTES, *(EARLY_RATIO * other.votes for other in plain[1:])]):
                first = plain[0]
                whole = bool(query.shows(first.to_image, self.poses.landmarks).all())
                if first.votes > SURE_VOTES and whole and self.upright(first, query.size) is not None:
                    return first
                if negative:
                    return self._refined(query, first)
        best: FoundPose | None = None
        usual = query
        for side, scales in self._looks(usual, scale):
            query = usual if side == SIDE else _Query(image, aspect, side, self.encoder)
            found = self._verified(query, _shortlist(self._matched(query, scales, ANGLES, mirrors)))
            refined = self._refined(query, found[0]) if found else None
            if refined is not None and (best is None or refined.share > best.share):
                best = refined
            if best is not None and best.share >= SAME_KIND:
                break
        return best

    def _looks(self, query: _Query, scale: float | None) -> list[tuple[float, tuple[float, ...]]]:
        """At which sizes of the image which scales of the template are looked for, one after the other."""
        looks: list[tuple[float, tuple[float, ...]]] = [(SIDE, SCALES), (2 * SIDE, (0.6,))]
        if scale is not None:
            side = SIDE * max(query.size) / (scale * self.poses.long_side)
            looks.insert(0, (float(np.clip(side, SIDE / 4, 4 * SIDE)), (1.0,)))
        return looks

    def upright(self, pose: FoundPose, size: tuple[int, int]) -> int | None:
        """By how many quarters of a turn an image lies otherwise than the template, but for mirror and polarity.

        Args:
            pose: what was found in the image.
            size: (height, width) of the image in square pixels.

        Returns:
            0 to 3; None where the image is turned, scaled or distorted otherwise.
        """
        _, turn, scale = turn_and_scale(pose.to_image)
        scale *= self.poses.long_side / max(size)
        quarters = round(turn / 90)
        near = abs(turn - 90 * quarters) <= UPRIGHT_TURN and 1 / UPRIGHT_SCALE <= scale <= UPRIGHT_SCALE
        return quarters % 4 if near and distortion(pose.to_image) <= AFFINE else None

    def landmarks_on(self, pose: FoundPose) -> np.ndarray:
        """Where a pose puts the template's landmarks, (N, 2), in square pixels of the image."""
        return apply(pose.to_image, self.poses.landmarks)

    def _matched(
        self, query: _Query, scales: Iterable[float], angles: Iterable[int], mirrors: Iterable[bool]
    ) -> list[_Matches]:
        return [
            _mutual(hypothesis, inverted, template, places, similarity)
            for hypothesis in [Hypothesis(m, float(a), s) for s in scales for a in angles for m in mirrors]
            for template, places in [(self.poses.places(hypothesis), query.places(self.poses, hypothesis.scale))]
            for inverted, similarity in zip((False, True), _similarities(template, places))
        ]

    def _verified(self, query: _Query, matched: Iterable[_Matches]) -> list[FoundPose]:
        """The poses on which matches agree, those with the most votes first; none that could not come near these."""
        found: list[FoundPose] = []
        for one in sorted(matched, key=lambda one: -one.similarity.sum()):
            if found and EARLY_RATIO * one.similarity.sum() < max(pose.votes for pose in found):
                break  # even if all its matches agreed
            fit = _agreed(one, TOLERANCE * query.cell, query, np.eye(3))
            if fit is not None:
                share = _share(fit.votes, query.shows(fit.matrix, one.points))
                found.append(FoundPose(fit.matrix, one.inverted, fit.votes, share))
        return sorted(found, key=lambda pose: -pose.votes / (MIRROR_DOUBT if pose.mirrored else 1.0))

    def _refined(self, query: _Query, pose: FoundPose) -> FoundPose:
        """The pose at a finer size: once for a similarity, again and again while an affine map explains more."""
        refined = self._closer(query, pose)
        for _ in range(AFFINE_ROUNDS):
            if distortion(refined.to_image) <= AFFINE:
                break
            again = self._closer(query, refined)
            if again.votes <= refined.votes:
                break
            refined = again
        return refined

    def _closer(self, query: _Query, pose: FoundPose) -> FoundPose:
        """One round of the image as the pose brings it to the template's frame."""
        fine = FINE_SIDE / SIDE
        small, to_small, matrices = self.poses.at_scale(fine)
        size = int(small.shape[-2]), int(small.shape[-1])
        here = self.poses.places(Hypothesis(False, 0.0, fine), most=None)
        to_square = np.linalg.inv(to_small)
        to_pixels = scaling(1.0, 1 / query.aspect)  # square pixels of the image to its own
        seen = warp(query.image, to_pixels @ pose.to_image @ to_square, size)
        described = describe(encode(1 - seen if pose.inverted else seen, self.encoder), matrices)
        points = apply(to_square, cell_centres(size, self.encoder))
        kept = np.flatnonzero(query.shows(pose.to_image, points))
        there = Places(points[kept], described[torch.from_numpy(kept).to(described.device)])
        fit = None
        if len(kept):
            matches = _mutual(Hypothesis(False, 0.0, fine), False, here, there, here.descriptors @ there.descriptors.T)
            fit = _agreed(matches, TOLERANCE * self.encoder.stride / to_small[0, 0], query, pose.to_image)
        if fit is None:
            return replace(pose, share=0.0)
        _, turn, scale = turn_and_scale(fit.matrix)
        if abs(turn) < MOST_TURN and 1 / MOST_SCALE < scale < MOST_SCALE and fit.votes > pose.votes / 2:
            pose = replace(pose, to_image=pose.to_image @ fit.matrix)
        return replace(pose, votes=fit.votes, share=_share(fit.votes, query.shows(pose.to_image, here.points)))


def _share(votes: float, shown: np.ndarray) -> float:
    """Votes beside the number of places that an image shows."""
    return votes / max(FEWEST, int(shown.sum()))


def _agreed(matches: _Matches, tolerance: float, query: _Query, on_query: np.ndarray) -> Fit | None:
    """The map on which matches agree: a similarity, or an affine map that explains clearly more.

    Args:
        matches: what may agree.
        tolerance: see :func:`bundle.pose.fitting.fit_similarity`.
        query: the image.
        on_query: (3, 3), from where the matches' targets are to square pixels of the image.
    """
    pairs = matches.source, matches.target, matches.similarity
    fit = fit_similarity(*pairs, tolerance, matches.hypothesis.mirrored)
    if fit is None:
        return None
    affine = fit_affine(fit.matrix, *pairs, tolerance)
    if distortion(affine.matrix) <= AFFINE or affine.votes <= AFFINE_GAIN * fit.votes:
        return fit
    # Where part of the template is cut off, an affine map of the rest leads astray there.
    shown = query.shows(on_query @ affine.matrix, matches.points)
    return affine if shown.mean() >= WHOLE and _share(affine.votes, shown) >= AFFINE_SHARE else fit


def _similarities(template: Places, query: Places) -> tuple[Tensor, ...]:
    """How similar all places are to each other, (n, m), the query taken as it is, and for a negative if that is known.

    The products of the halves, ac + bd and ad + bc, are sum and difference of two products that are half as large.
    """
    a, b = template.descriptors.chunk(2, dim=1)
    if query.descriptors.shape[1] == a.shape[1]:
        return (a @ query.descriptors.T * math.sqrt(2),)
    c, d = query.descriptors.chunk(2, dim=1)
    both, apart = (a + b) / 2 @ (c + d).T, (a - b) / 2 @ (c - d).T
    return both + apart, both - apart


def _mutual(hypothesis: Hypothesis, inverted: bool, template: Places, query: Places, similarities: Tensor) -> _Matches:
    """The mutual nearest neighbours of a template's places and a query's, by their similarities, (n, m)."""
    similarity = similarities.cpu().numpy()
    there = similarity.argmax(axis=1)
    best = similarity[np.arange(len(there)), there]
    mutual = np.flatnonzero(best == similarity.max(axis=0)[there])
    source = mutual[np.sort(np.unique(there[mutual], return_index=True)[1])]  # of places that look the same the first
    matched, weights = template.points[source], best[source].astype(np.float64)
    promise = len(source) * float(best.mean())
    return _Matches(hypothesis, template.points, inverted, matched, query.points[there[source]], weights, promise)


def _shortlist(matched: Iterable[_Matches]) -> list[_Matches]:
    """The most promising of each scale."""
    ordered = sorted(matched, key=lambda one: -one.promise)
    return [one for scale in SCALES for one in [one for one in ordered if one.hypothesis.scale == scale][:SHORTLIST]]
