"""Each template as a query of the others: the examples that filters are learned from."""

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

#: A lattice is moved until its landmark is no further from its centre than this share of a crop's side.
FARTHEST = 0.3125


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
        if not 0 <= index < len(self):
            raise IndexError(index)
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
    parts = []
    for window in windows:
        less = side - window.cells.shape[-1]
        parts.append(
            (
                F.pad(window.cells[landmark], (0, less, 0, less)),
                F.pad(window.rows[landmark], (0, less)),
                F.pad(window.columns[landmark], (0, less)),
            )
        )
    return Window(*(torch.stack(part) for part in zip(*parts)))
