r"""Learn what to add to a landmark's kernels: two convex problems, and a discriminant in closed form.

The scores b of the K templates, each matched to the others, are corrected by a filter d that is linear in the
descriptors x of all scales and the crop, as far as a ridge allows:

.. math:: s_k(q) = b_k(q) + \langle d, x_k(q) \rangle.
"""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from bundle.matching.lattice import Window

#: Weight of |d|^2; standard deviations of the two targets in pixels of a crop; height of the second in units of the
#: temperature; iterations of L-BFGS. Figures for others: ``docs/accuracy.md``.
RIDGE = 0.15
SHARP, WIDE, HEIGHT = 4.0, 10.0, 60.0
ITERATIONS = 12

#: Patches that the covariance is taken from at most, the same ones each time, and the share of the mean variance that
#: is added to it.
PATCHES, SHRINKAGE = 20_000, 1.0

Objective = Callable[[Tensor], Tensor]


def cross_entropy(base: Tensor, distance: Tensor) -> Objective:
    r"""The posterior shall be at the truth: cross-entropy with a Gaussian of 4 pixels, summed over the templates.

    .. math:: -\sum_k \sum_q t_k(q) \log \operatorname{softmax}_q s_k(q), \quad
        t_k(q) \propto e^{-\lVert q - p_k \rVert^2 / (2 \cdot 4^2)}.

    Args:
        base: (K, S, S), scores with the prior.
        distance: (K, S, S), distance of each place from the landmark in pixels of a crop.
    """
    target = torch.softmax(-(distance / SHARP).square().flatten(1) / 2, dim=1)
    return lambda added: -(target * torch.log_softmax((base + added).flatten(1), dim=1)).sum()


def distance_aware(base: Tensor, distance: Tensor) -> Objective:
    r"""After the paper's equation 1, which itself is in ``losses``: scores shall fall as a Gaussian of 10 pixels does.

    .. math:: \tfrac12 \sum_k \operatorname{mean}_q
        \big(s_k(q) - 60 \, e^{-\lVert q - p_k \rVert^2 / (2 \cdot 10^2)}\big)^2,

    both without their mean over the places. It is quadratic in the filter.

    Args:
        base: (K, S, S), scores without the prior.
        distance: (K, S, S), distance of each place from the landmark in pixels of a crop.
    """
    wanted = _centred(HEIGHT * torch.exp(-(distance / WIDE).square() / 2) - base)
    return lambda added: 0.5 * (_centred(added) - wanted).square().flatten(1).mean(dim=1).sum()


def _centred(maps: Tensor) -> Tensor:
    return maps - maps.mean(dim=(-2, -1), keepdim=True)


def fit_filter(windows: Sequence[Window], objective: Objective) -> list[Tensor]:
    r"""Minimise :math:`\text{objective}(\langle d, x \rangle) + 0.15 \lVert d \rVert^2` over d, by L-BFGS from zero.

    Args:
        windows: for each scale and the crop, one landmark's windows of K templates.
        objective: a convex function of what is added to the scores, (K, S, S).

    Returns:
        for each window the filter, (C, patch, patch).
    """
    parts = [
        window.cells.new_zeros(window.cells.shape[1], window.patch, window.patch, requires_grad=True)
        for window in windows
    ]
    columns = [_columns(window, window.patch) for window in windows]
    optimizer = torch.optim.LBFGS(parts, max_iter=ITERATIONS, history_size=8, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        added = [_added(window, flat, part) for window, flat, part in zip(windows, columns, parts)]
        ridge = torch.stack([part.square().sum() for part in parts]).sum()
        loss = objective(torch.stack(added).sum(dim=0)) + RIDGE * ridge
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    return [part.detach() for part in parts]


def shared_scores(windows: Sequence[Window], kernels: Sequence[Tensor]) -> Tensor:
    """One landmark's filter over its windows of K templates: for each window (C, patch, patch) -> (K, S, S)."""
    return torch.stack(
        [_added(window, _columns(window, kernel.shape[-1]), kernel) for window, kernel in zip(windows, kernels)]
    ).sum(dim=0)


def _columns(window: Window, patch: int) -> Tensor:
    """The maps one after the other, (C, K * side * side + reach), and zeros where a patch reaches beyond the last."""
    reach = (patch - 1) * (window.cells.shape[-1] + 1)
    return F.pad(window.cells.transpose(0, 1).flatten(1), (0, reach))


def _added(window: Window, columns: Tensor, kernel: Tensor) -> Tensor:
    """One kernel over K maps, given as :func:`_columns`: three times faster than a convolution with one result."""
    patch, side = kernel.shape[-1], window.cells.shape[-1]
    taps = kernel.flatten(1).T @ columns
    length, row = len(window.cells) * side**2, columns.shape[1]
    # Tap (y, x) of the kernel sees the place that lies y * side + x further on: a view, shifted by one a column.
    shifted = taps.as_strided((patch, patch, length), (patch * row + side, row + 1, 1))
    values = shifted.sum(dim=(0, 1)).view(-1, side, side)[:, : side - patch + 1, : side - patch + 1]
    return window.rows @ values @ window.columns.transpose(-1, -2)


def discriminants(windows: Iterable[Tensor], kernels: Tensor) -> Tensor:
    r"""The linear discriminant of each landmark against its surroundings (LDA), in closed form.

    .. math:: v_i = (S + \bar\sigma^2 \mathrm{Id})^{-1} (w_i - \mu)

    with the mean :math:`\mu`, the covariance S and the mean variance :math:`\bar\sigma^2` of the patches around all
    landmarks. Each is scaled so that its scores on these patches vary as much as those of :math:`w_i` do.

    Args:
        windows: maps around landmarks, (C, h, w) each, of one scale.
        kernels: (M, C, patch, patch), the landmarks' own patches w.

    Returns:
        tensor of the shape of ``kernels``.
    """
    maps, side = list(windows), kernels.shape[-1]
    total = sum((one.shape[-2] - side + 1) * (one.shape[-1] - side + 1) for one in maps)
    generator = torch.Generator().manual_seed(0)
    chosen = torch.zeros(total, dtype=torch.bool)
    chosen[torch.randperm(total, generator=generator)[:PATCHES]] = True
    rows, start = [], 0
    for one in maps:
        patches = F.unfold(one[None], side)[0].T
        rows.append(patches[chosen[start : start + len(patches)].to(patches.device)])
        start += len(patches)
    background = torch.cat(rows)
    mean = background.mean(dim=0)
    centred = background - mean
    covariance = centred.T @ centred / len(centred)
    covariance.diagonal().add_(SHRINKAGE * covariance.diagonal().mean())
    found = torch.linalg.solve(covariance, (kernels.flatten(1) - mean).T).T
    scale = (centred @ kernels.flatten(1).T).std(dim=0) / (centred @ found.T).std(dim=0).clamp(min=1e-12)
    return (found * scale[:, None]).unflatten(1, kernels.shape[1:])
