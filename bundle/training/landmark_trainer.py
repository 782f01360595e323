"""The training of the filters: one iteration per landmark."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events
from monai.engines import Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from bundle.matching.lattice import Window
from bundle.records.console import progress
from bundle.training.filter_fit import cross_entropy, distance_aware, fit_filter, shared_scores
from bundle.training.leave_one_out import LandmarkExamples
from bundle.training.run_folder import kept

#: Templates are held out in this many parts at most, to see how filters do on images that they have not seen.
PARTS = 5

LOSSES = ("cross_entropy", "distance_aware")


class LandmarkTrainer(Trainer):
    """Fits the filters of both losses to each landmark, on all templates and on all but each part of them.

    Its iterations are independent of each other; each leaves a file, and a killed training takes these up.

    Args:
        device: where the examples are.
        train_data_loader: gives a :class:`LandmarkExamples` an iteration.
        folder: the folder of the training.
        max_epochs: one is enough: the problems are convex and solved at once.
        train_handlers: handlers of events.

    Attributes:
        found: for each landmark what :func:`fit_landmark` gave.
    """

    def __init__(
        self,
        device: torch.device,
        train_data_loader: DataLoader,
        folder: str | Path,
        max_epochs: int = 1,
        train_handlers: Sequence[Any] | None = None,
    ) -> None:
        super().__init__(
            device=device, max_epochs=max_epochs, data_loader=train_data_loader, handlers=list(train_handlers or ())
        )
        self.folder = Path(folder)
        self.found: dict[int, dict[str, Tensor]] = {}
        self.add_event_handler(Events.STARTED, self._open)
        self.add_event_handler(Events.ITERATION_COMPLETED, lambda: self._bar.update())
        self.add_event_handler(Events.COMPLETED, lambda: self._bar.close())

    def run(self) -> None:  # type: ignore[override]
        """Fit what no earlier run has fitted, after a line about what there is."""
        counts = {kind: len(list(self.folder.glob(f"{kind}_*.pt"))) for kind in ("landmark", "unlabelled")}
        if any(counts.values()):
            parts = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
            print(f"continuing the training: {parts} results are there already")
        super().run()

    def _open(self) -> None:
        self._bar = progress(total=self.state.epoch_length, desc="landmarks", unit="landmark")

    def _iteration(self, engine: Any, batchdata: Any) -> dict[str, Any]:
        """Fit one landmark; the loss is the mean cross-entropy of its filters on templates held out."""
        examples: LandmarkExamples = batchdata
        path = self.folder / f"landmark_{examples.landmark:04d}.pt"
        found = kept(path, lambda: fit_landmark(examples))
        self.found[examples.landmark] = found
        base = torch.stack([held_out_base(scores, index) for index, scores in enumerate(examples.scores)])
        loss = cross_entropy(base + examples.prior, examples.distance)(found["held_out.cross_entropy"])
        return {"loss": float(loss) / len(base), "landmark": examples.landmark}


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
