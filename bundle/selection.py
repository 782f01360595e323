"""Which image of a folder to annotate: the one of the most typical shape, or next the one that stands for most others.

A template whose anatomy is of ordinary shape has its landmarks where most other images have them. On the development
set this ranks templates better than how similar their looks are to the others' (``docs/accuracy.md``). How typical the
shape in an image is, is told by how much others must be bent to look like it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bundle.networks import OneShotNetwork
from bundle.networks.whitening import inverse_power, total_covariance, unit_descriptors

#: Distance in cells between the points of an image that are looked up in the others.
STEP = 3
#: How far from the same place a point is looked for, as a fraction of the long side.
REACH = 0.15
#: Units of cosine similarity that make a factor of e: the place is the mean of the posterior.
TEMPERATURE = 0.03

#: Long side in pixels to which the images are brought: large bones count, not their details.
WORKING_SIDE = 320

POWER = 0.5
SHRINKAGE = 0.05


def describe_images(images: Iterable[Tensor], network: OneShotNetwork) -> Iterator[Tensor]:
    """The frozen encoder's features of images, one after the other.

    Args:
        images: tensors of shape (1, 1, H, W), 0 to 1, bone bright.
        network: a network with one working side and no negative.

    Yields:
        tensors of shape (C, h, w), each of its image's own shape.
    """
    with torch.no_grad():
        for image in images:
            (level,) = network.encode_global(image)
            yield level[0].cpu()


def whiten_together(features: list[Tensor]) -> list[Tensor]:
    """Whiten by the mean covariance of all images and bring each position's descriptor to length one.

    Args:
        features: what :func:`describe_images` gave.

    Returns:
        tensors of the same shapes.
    """
    covariance = torch.stack([total_covariance(one[None]) for one in features]).mean(dim=0)
    matrix = inverse_power(covariance, POWER, SHRINKAGE)
    return [unit_descriptors(one[None], matrix)[0] for one in features]


def mean_deformation(one: Tensor, others: Sequence[Tensor]) -> float:
    """The mean over other images of the median distance that an affine map leaves.

    Points on a lattice of the image are found in another one by their descriptors; what remains between the places
    found and the best affine map of the lattice is deformation.

    Args:
        one: map of shape (C, h, w), of length one at every position.
        others: such maps of other images, at least one.

    Returns:
        the distance as a fraction of the long side; small for a typical shape.
    """
    return float(torch.stack([_deformation(one, other) for other in others]).mean())


def deformation_of_each(maps: Sequence[Tensor], compared: int, seed: int = 0) -> Iterator[float]:
    """How typical the shape in each of several images is, by comparing it with some of the others.

    Args:
        maps: maps of shape (C, h, w), of length one at every position, of two images at least.
        compared: with how many others each image is compared at most.
        seed: chooses the others where there are more.

    Yields:
        for each image in turn what :func:`mean_deformation` gives.
    """
    generator = np.random.default_rng(seed)
    everyone = np.arange(len(maps))
    others = [
        sorted(generator.choice(np.delete(everyone, index), min(compared, len(maps) - 1), replace=False).tolist())
        for index in everyone
    ]
    for one, chosen in zip(maps, others):
        yield mean_deformation(one, [maps[other] for other in chosen])


def _deformation(one: Tensor, other: Tensor) -> Tensor:
    """The median residual of one image's lattice in another, as a fraction of the other's long side."""
    lattice = _lattice(one.shape[-2], one.shape[-1])  # (P, 2), cells (x, y)
    height, width = other.shape[-2:]
    scale = torch.tensor([width / one.shape[-1], height / one.shape[-2]])
    start = (lattice + 0.5) * scale - 0.5
    similarity = torch.einsum("cp,chw->phw", one[:, lattice[:, 1].long(), lattice[:, 0].long()], other)
    x, y = torch.arange(width, dtype=one.dtype), torch.arange(height, dtype=one.dtype)
    reach = REACH * max(height, width)
    near = ((y - start[:, 1:]).abs() <= reach)[:, :, None] & ((x - start[:, :1]).abs() <= reach)[:, None, :]
    probability = (similarity / TEMPERATURE).masked_fill(~near, -torch.inf).flatten(1).softmax(dim=1)
    probability = probability.unflatten(1, (height, width))
    found = torch.stack([probability.sum(dim=1) @ x, probability.sum(dim=2) @ y], dim=1)
    design = torch.cat([start, torch.ones(len(start), 1)], dim=1)
    affine = torch.linalg.lstsq(design, found).solution
    return (design @ affine - found).norm(dim=1).median() / max(height, width)


def _lattice(height: int, width: int) -> Tensor:
    """Cells ``(x, y)`` every :data:`STEP`, away from the border where the map has room: (P, 2)."""
    columns, rows = (
        torch.arange(min(STEP, side // 2), max(side - STEP, side // 2 + 1), STEP) for side in (width, height)
    )
    ys, xs = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([xs, ys], dim=-1).reshape(-1, 2).float()


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
