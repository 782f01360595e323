"""Where the template's layout expects each landmark: a weak prior that the other landmarks vote for."""

import numpy as np
import torch
from torch import Tensor

#: Squared distance at which an expected place draws half as much as a quadratic penalty would.
FAR = 4.0
#: How often the weights of the robust fit are renewed.
RENEWALS = 20


def extent(points: Tensor) -> float:
    """Diagonal of the smallest upright rectangle around points (N, 2)."""
    return float((points.amax(dim=0) - points.amin(dim=0)).norm())


def robust_affine(source: Tensor, target: Tensor, trust: Tensor, *, ridge: float, smallest: float) -> Tensor:
    """Fit an affine map that few wrong matches cannot turn away (iteratively reweighted least squares, Cauchy weights).

    The residual at which a match counts half is the median residual. The linear part is drawn by a ridge towards a
    change of size alone, so three or fewer landmarks, or landmarks on one line, are no special case.

    Args:
        source: (N, 2), points ``(x, y)`` of the template, in a unit in which the layout is up to five times larger or
            smaller than on the query.
        target: (N, 2), their matches on the query.
        trust: (N,), weight of each match before the fit.
        ridge: weight of the pull towards the undeformed layout, relative to the layout's variance; more than 0.
        smallest: residual on the query below which no match counts less; more than 0.

    Returns:
        tensor of shape (3, 2), float64: ``[x, y, 1] @ result`` is the expected place on the query.
    """
    # A few numbers: NumPy takes a third of the time of PyTorch, and far less than a GPU.
    columns = torch.cat([source.double(), target.double(), trust.double()[:, None]], dim=1).cpu().numpy()
    places, goals, trusted = columns[:, :2], columns[:, 2:4], columns[:, 4]
    weights, linear, shift = trusted, np.zeros((2, 2)), np.zeros(2)
    for _ in range(RENEWALS):
        share = weights / weights.sum()
        centre, centre_of_goals = share @ places, share @ goals
        around = places - centre
        weighted = (share[:, None] * around).T
        scatter, cross = weighted @ around, weighted @ (goals - centre_of_goals)
        variance = max(scatter.trace(), 1e-9)
        pull = ridge * variance * np.eye(2)
        zoom = min(max(cross.trace() / variance, 0.2), 5.0)
        linear = np.linalg.solve(scatter + pull, cross + pull * zoom)
        shift = centre_of_goals - centre @ linear
        squared = np.square(places @ linear + shift - goals).sum(axis=1)
        median = np.sort(squared)[(len(squared) - 1) // 2]
        weights = trusted / (1.0 + squared / max(median, smallest**2))
    return torch.from_numpy(np.vstack([linear, shift])).to(source.device)


def apply_affine(affine: Tensor, points: Tensor) -> Tensor:
    """Map points ``(x, y)`` of shape (N, 2) by an affine map of shape (3, 2); float64."""
    return points.double() @ affine[:2] + affine[2]


def local_correction(
    source: Tensor, displacement: Tensor, trust: Tensor, *, reach: float, rigidity: float, damping: float
) -> Tensor:
    """What the neighbours say about a landmark: their displacements as a local similarity (shift, rotation, size).

    Every landmark's own displacement is left out, so a wrong match cannot vouch for itself, and articulated parts such
    as fingers may move on their own.

    Args:
        source: (N, 2), points ``(x, y)`` of the template.
        displacement: (N, 2), by how much the matches differ from what the affine map expects.
        trust: (N,), weight of each match.
        reach: distance between points of the template at which a neighbour counts exp(-1/2).
        rigidity: pull of rotation and size towards none, relative to ``reach`` squared.
        damping: pull of the shift towards none, in units of trusted neighbours.

    Returns:
        tensor of shape (N, 2): the correction of the affine map's expectation.
    """
    source, displacement, trust = source.double(), displacement.double(), trust.double()
    weights = torch.exp(-torch.cdist(source, source).square() / (2 * reach**2)) * trust
    weights.fill_diagonal_(0.0)
    total = weights.sum(dim=1)
    # Points as complex numbers: a similarity is then one complex factor and one shift.
    z, y = torch.view_as_complex(source.contiguous()), torch.view_as_complex(displacement.contiguous())
    complex_weights = weights.to(z.dtype)
    centre = (complex_weights @ z) / (total + 1e-9)
    shift = (complex_weights @ y) / (total + damping)
    around, moved = z[None] - centre[:, None], y[None] - shift[:, None]
    factor = (complex_weights * around.conj() * moved).sum(dim=1) / (
        (weights * around.abs().square()).sum(dim=1) + rigidity * reach**2
    )
    return torch.view_as_real(shift + factor * (z - centre))


def with_log_prior(scores: Tensor, expected: Tensor, sigma: float, weight: float) -> Tensor:
    """Add to scores the penalty on the distance of each cell from the expected place, up to a constant.

    Args:
        scores: (N, rows, columns).
        expected: (N, 2), expected places as cells ``(x, y)``.
        sigma: unit of distance in cells.
        weight: see :func:`penalty`, of which the constant is left out: maps have millions of cells.

    Returns:
        tensor of shape (N, rows, columns).
    """
    x, y = (expected.to(scores.dtype) / sigma).unbind(dim=1)
    rows, columns = (torch.arange(n, dtype=scores.dtype, device=scores.device) / sigma for n in scores.shape[1:])
    dx, dy = (columns - x[:, None]).square(), (rows - y[:, None]).square() + FAR
    return (dy[:, :, None] + dx[:, None]).reciprocal_().mul_(weight * FAR**2).add_(scores)


def penalty(squared: Tensor, weight: float) -> Tensor:
    r"""A penalty :math:`-w d^2 / (1 + d^2 / 4)` on the distance d from an expected place.

    It is quadratic nearby and bounded far away (Geman and McClure), so that a part which moves on its own, such as a
    thumb, is not drawn to another one that lies where it is expected.

    Args:
        squared: squared distances, in units of the settings' ``prior_sigma``; overwritten by the result.
        weight: w, in units of cosine similarity.
    """
    # In place, for maps have millions of cells: -w d^2 / (1 + d^2 / 4) = 16 w / (d^2 + 4) - 4 w.
    return squared.add_(FAR).reciprocal_().mul_(weight * FAR**2).sub_(weight * FAR)
