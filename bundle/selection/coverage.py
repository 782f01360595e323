"""Which image to annotate next: the one that stands for most of those that no annotated image stands for."""

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

#: Cells along each side to which a map is averaged: where things lie in an image counts, not their details.
SIDE = 12


def coverage_gains(maps: Sequence[Tensor], annotated: Collection[int]) -> Tensor:
    r"""How much better all images would be covered by the annotated ones with one more.

    With s for the similarity of two images and A for the annotated ones, image i gains (facility location)

    .. math:: \frac1M \sum_j \max\big(0, s_{ij} - \max_{a \in A} s_{aj}\big).

    Args:
        maps: descriptor maps, (C, h, w), of length one at every position.
        annotated: numbers of the annotated images; with none, each gains its mean similarity to all.

    Returns:
        tensor of shape (M,), not negative with annotated images.
    """
    rows = torch.stack([F.adaptive_avg_pool2d(one, SIDE).flatten() for one in maps])
    similarity = F.normalize(rows - rows.mean(dim=0), dim=1)
    similarity = similarity @ similarity.T
    if not annotated:
        return similarity.mean(dim=1)
    covered = similarity[sorted(annotated)].amax(dim=0)
    return (similarity - covered).clamp(min=0).mean(dim=1)


def rank_by_coverage(maps: Mapping[str, Tensor], annotated: Collection[str]) -> list[tuple[str, float]]:
    """All images that are not annotated with their :func:`coverage_gains`, the one to annotate next first.

    Args:
        maps: descriptor maps by the images' names.
        annotated: names of annotated images among them.
    """
    names = list(maps)
    gains = coverage_gains(list(maps.values()), [names.index(name) for name in annotated]).tolist()
    rest = [(name, gain) for name, gain in zip(names, gains) if name not in annotated]
    return sorted(rest, key=lambda row: -row[1])
