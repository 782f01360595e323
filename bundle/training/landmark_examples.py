"""Each template as a query of the others, and the filters that each landmark learns from them."""

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from bundle.matching.lattice import Lattice, Window
from bundle.matching.shape_prior import ShapePrior
from bundle.model.inferer import template_tensors
from bundle.model.posterior_inferer import DescribedTemplates, PosteriorInferer, crop_unit
from bundle.networks import OneShotNetwork
from bundle.records.console import progress
from bundle.training.filter_fit import cross_entropy, distance_aware, fit_filter, shared_scores

#: A lattice is moved until its landmark is no further from its centre than this share of a crop's side.
FARTHEST = 0.3125

#: Templates are held out in this many parts at most, to see how filters do on images that they have not seen.
PARTS = 5

LOSSES = ("cross_entropy", "distance_aware")


class Example(NamedTuple):
    """One template as a query of the others.

    Attributes:
        lattice: the places around its landmarks, and what it shows there.
        scores: (K, N, S, S), how similar these places are to each template's landmarks, in units of the temperature.
        prior: (N, S, S), where the other templates' layouts expect the landmarks, likewise.
        distance: (N, S, S), distance of each place from the template's own landmark, in pixels of a crop.
    """

    lattice: Lattice
    scores: Tensor
    prior: Tensor
    distance: Tensor


class LandmarkExamples(NamedTuple):
    """One landmark in all K templates.

    Attributes:
        landmark: its number.
        windows: what the templates show, for each scale and, last, the crops.
        scores: (K, K, S, S), of each template as a query (first) to each template (second), see :class:`Example`.
        prior: (K, S, S), likewise.
        distance: (K, S, S), likewise.
    """

    landmark: int
    windows: list[Window]
    scores: Tensor
    prior: Tensor
    distance: Tensor


class TemplateExamples(Dataset[LandmarkExamples]):
    """All landmarks of the templates, each template matched to all others, as inference would match it.

    Each template is described and matched once, when the first landmark is asked for.

    Args:
        inferer: the matching, with the templates.
        network: what describes them.
    """

    def __init__(self, inferer: PosteriorInferer, network: OneShotNetwork) -> None:
        self.inferer = inferer
        self.network = network

    def __len__(self) -> int:
        return len(self.inferer.template.landmarks)

    def __getitem__(self, index: int) -> LandmarkExamples:
        examples = self.examples
        count = len(examples[0].lattice.windows)
        return LandmarkExamples(
            index,
            [_stack([one.lattice.windows[number] for one in examples], index) for number in range(count)],
            torch.stack([one.scores[:, index] for one in examples]),
            torch.stack([one.prior[index] for one in examples]),
            torch.stack([one.distance[index] for one in examples]),
        )

    @cached_property
    def templates(self) -> DescribedTemplates:
        """The templates' descriptors."""
        with torch.no_grad():
            return self.inferer.describe_all(self.network, next(self.network.parameters()).device)

    @cached_property
    def examples(self) -> list[Example]:
        """Each template as a query of the others."""
        everyone = range(len(self.inferer.template.all))
        with torch.no_grad():
            return [
                _leave_out(self.inferer, self.templates, index, self.network)
                for index in progress(everyone, desc="templates", unit="image")
            ]


def _leave_out(
    inferer: PosteriorInferer, templates: DescribedTemplates, index: int, network: OneShotNetwork
) -> Example:
    """Match one template to all others; an only one to itself, around its landmarks."""
    others = [other for other in range(len(templates.views)) if other != index]
    known = templates.landmarks(others or [index])
    known = known._replace(layouts=[ShapePrior.fit(known.layouts).mean.to(known.layouts[0].device)])
    view, truth = templates.views[index]
    image, _ = template_tensors(inferer.template.all[index], truth.device)
    coarse = inferer.matcher.coarse(known, view)
    unit = crop_unit(view.size, network)
    farthest = FARTHEST * network.settings.local_window * unit if others else 0.0
    away = coarse.found.points - truth
    inside = (farthest / away.norm(dim=1, keepdim=True).clamp(min=1e-6)).clamp(max=1.0)
    lattice = inferer.look_closer(image, truth + away * inside, view, network, known.crop_matrix)
    temperature = inferer.settings.temperature
    filters = [inferer.matcher.plain_filters(templates.landmarks([number])) for number in range(len(templates.views))]
    scores = lattice.scores([torch.stack(several) for several in zip(*filters)]) / temperature
    prior = inferer.matcher.coarse_prior(coarse, view, lattice) / temperature
    distance = (lattice.pixels - truth[:, None, None]).norm(dim=-1) / unit
    return Example(lattice, scores, prior, distance)


def _stack(windows: Sequence[Window], landmark: int) -> Window:
    """One landmark's windows of several images; those of another shape may lack a cell, which counts nothing."""
    side = max(window.cells.shape[-1] for window in windows)
    lacking = [(window, side - window.cells.shape[-1]) for window in windows]
    return Window(
        torch.stack([F.pad(window.cells[landmark], (0, less, 0, less)) for window, less in lacking]),
        torch.stack([F.pad(window.rows[landmark], (0, less)) for window, less in lacking]),
        torch.stack([F.pad(window.columns[landmark], (0, less)) for window, less in lacking]),
    )


def held_out_parts(count: int) -> list[list[int]]:
    """K templates by the part with which they are held out; none where the others are too few to learn from."""
    parts = min(count, PARTS) if count > 2 else 0
    return [list(range(part, count, parts)) for part in range(parts)]


def others_of(index: int, count: int) -> list[int]:
    """The templates that are not held out together with one of them; an only one is its own other."""
    together = next((part for part in held_out_parts(count) if index in part), [index])
    return [other for other in range(count) if other not in together] or [index]


def held_out_base(scores: Tensor, index: int) -> Tensor:
    """A template's scores by the mean kernels of those that it is not held out with: (K, ...) -> (...)."""
    return scores[others_of(index, len(scores))].mean(dim=0)


def fit_landmark(examples: LandmarkExamples) -> dict[str, Tensor]:
    """The filters of one landmark; all zero where there is one template only, for then there is nothing to learn from.

    Args:
        examples: the landmark in K templates.

    Returns:
        for each loss ``loss.w``, the filter (C, patch, patch) of window number w, and ``held_out.loss``, (K, S, S),
        what filters from the templates of the other parts add to the scores of each template.
    """
    found: dict[str, Tensor] = {}
    count = len(examples.scores)
    for loss in LOSSES:
        held_out = torch.zeros_like(examples.prior)
        for part in held_out_parts(count):
            filters = _fit(loss, examples, others_of(part[0], count))
            held_out[part] = shared_scores([_chosen(window, part) for window in examples.windows], filters)
        whole = _fit(loss, examples, list(range(count)))
        found |= {f"{loss}.{number}": one for number, one in enumerate(whole)}
        found[f"held_out.{loss}"] = held_out
    return found


def _fit(loss: str, examples: LandmarkExamples, chosen: list[int]) -> list[Tensor]:
    """Fit to some templates, each scored by the mean kernels of the others among them.

    Its own kernels would fit a template too well to learn from; those of the others err on it as they will on new
    images. A template that is held out must not be among those others: filters would learn to undo what its kernels do.
    """
    windows = [_chosen(window, chosen) for window in examples.windows]
    if len(chosen) < 2:
        return [torch.zeros_like(window.cells[0, :, : window.patch, : window.patch]) for window in windows]
    prior, distance = examples.prior[chosen], examples.distance[chosen]
    among = examples.scores[chosen][:, chosen]
    own = among.diagonal(dim1=0, dim2=1).movedim(-1, 0)
    base = (among.sum(dim=1) - own) / (len(chosen) - 1)
    objective = cross_entropy(base + prior, distance) if loss == LOSSES[0] else distance_aware(base, distance)
    return fit_filter(windows, objective)


def _chosen(window: Window, images: list[int]) -> Window:
    return Window(*(part[images] for part in window))
