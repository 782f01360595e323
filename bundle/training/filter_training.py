"""The default training, from annotated images to a checkpoint: what was learned counts as far as it helps elsewhere."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from ignite.engine import Events
from monai.engines import Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from bundle.errors import ConfigError
from bundle.matching.geometric_prior import extent
from bundle.matching.posterior_matcher import KnownLandmarks
from bundle.matching.shape_prior import ShapePrior
from bundle.metrics.calibration import cross_validated, error_factors, interval_factor
from bundle.model.building import Model, fit_whitening
from bundle.model.checkpoint import LearnedLandmarks, save_model
from bundle.records.console import progress
from bundle.training.adaptation import adapted_landmarks
from bundle.training.filter_fit import cross_entropy, discriminants
from bundle.training.landmark_examples import (
    LOSSES,
    LandmarkExamples,
    TemplateExamples,
    fit_landmark,
    held_out_base,
    others_of,
)
from bundle.training.run_folder import forget_run, kept

#: How far to go towards the discriminant, and how much of both losses' filters to add. Cross-entropy asks for the place
#: alone and learns it from many templates only: each brings it this share of its weight, up to all of it.
DISCRIMINANT, FILTERS, SHARE_PER_TEMPLATE = 0.25, 0.75, 0.1
#: Scales and crops are no independent witnesses, so what they say together counts this much; but crops count twice.
TOGETHER = 0.64
#: One template teaches no filter, so the discriminant stands alone, and all counts less.
DISCRIMINANT_ALONE, TOGETHER_ALONE = 0.5, 0.47
#: Multiples of what is learned that are tried on templates held out; with fewer templates than that, too few are left
#: to learn from for the trial to say anything, and all of it is taken.
STRENGTHS, FEWEST_FOR_TRIAL = (0.0, 0.5, 1.0), 5
#: An error beyond this fraction of the layout's extent counts as this much, when strengths are compared.
GROSS = 0.03
#: An annotation is doubtful where a model of the other templates finds its landmark further away than this fraction of
#: the layout's extent, this many times the median of all errors, and this many times what it expects of that point.
FAR, TIMES_MEDIAN, TIMES_EXPECTED = 0.06, 5.0, 2.5
#: Share of the points that lie within the interval that a training tells of.
INTERVAL = 0.9


class FilterTraining(Trainer):
    """Fits the whitening and, one landmark per iteration, the filters; then mixes what was learned into a model.

    The iterations are independent of each other; each leaves a file, and a killed training takes these up.

    Args:
        examples: the templates, with network and matching.
        folder: the folder of the training.
        record: settings of the training, for the record.
        model_path: the file that the model is written to; None for none, and no word about the training.
        keep_images: whether it shall hold the templates' images.
        adapt: whether a single template shall adapt to unlabelled images.
        unlabelled: a folder of these, or a data list.
        max_epochs: one is enough: the problems are convex and solved at once.
        train_handlers: handlers of events.

    Attributes:
        found: for each landmark what :func:`bundle.training.landmark_examples.fit_landmark` gave.
        model: what :meth:`run` made.

    Raises:
        ConfigError: when network or matching are those of trained decoders, or several templates shall adapt.
    """

    def __init__(
        self,
        examples: TemplateExamples,
        folder: str | Path,
        record: Mapping[str, Any],
        model_path: str | Path | None = None,
        keep_images: bool = True,
        adapt: bool = False,
        unlabelled: str | Path | None = None,
        max_epochs: int = 1,
        train_handlers: Sequence[Any] = (),
    ) -> None:
        settings, strategy = examples.network.settings, examples.inferer.settings.strategy
        if strategy != "posterior" or settings.global_channels or settings.local_channels:
            raise ConfigError(
                f"matching.strategy is {strategy!r}, with {settings.global_channels} global and "
                f"{settings.local_channels} local channels, but configs/train.json trains 'posterior' and no decoders: "
                "train with configs/train_decoders.json, which goes with configs/paper.json."
            )
        if adapt and unlabelled is None:
            raise ConfigError("adapt is true, but there are no images to adapt to: give --dataset_dir FOLDER.")
        if adapt and examples.inferer.template.others:
            raise ConfigError(
                f"adapt is true, but there are {len(examples.inferer.template.all)} annotated images, which teach more "
                "than unlabelled ones: leave adapt out, or give one annotated image."
            )
        super().__init__(
            device=next(examples.network.parameters()).device,
            max_epochs=max_epochs,
            data_loader=DataLoader(examples, batch_size=None),
            handlers=list(train_handlers),
        )
        self.unlabelled = unlabelled if adapt else None
        self.examples = examples
        self.folder = Path(folder)
        self.record = dict(record)
        self.model_path = model_path
        self.keep_images = keep_images
        self.found: dict[int, dict[str, Tensor]] = {}
        self.model: Model
        self.add_event_handler(Events.ITERATION_COMPLETED, lambda: self._bar.update())

    def run(self) -> None:  # type: ignore[override]  # MONAI's Trainer takes no data here either
        """Train, see how well landmarks of each template are found by a model of the others, and write the model.

        :attr:`record` then says what was seen.
        """
        self.examples.inferer.template.require()
        fit_whitening(self.examples.network, self.examples.inferer.template)
        self._fit_landmarks()
        self.model = model = self._mix()
        if self.model_path is not None:
            self._tell()
            save_model(
                self.model_path,
                model.network,
                model.template,
                model.matching,
                self.record,
                model.learned,
                self.keep_images,
            )
            forget_run(self.folder)

    def _fit_landmarks(self) -> None:
        """Fit what no earlier run has fitted, after a line about what there is."""
        counts = {kind: len(list(self.folder.glob(f"{kind}_*.pt"))) for kind in ("landmark", "unlabelled")}
        if any(counts.values()):
            parts = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
            print(f"continuing the training: {parts} results are there already")
        with progress(total=self.state.epoch_length, desc="landmarks", unit="landmark") as self._bar:
            super().run()

    def _mix(self) -> Model:
        """The model of all that was fitted, and in the record what was seen of it."""
        inferer, network = self.examples.inferer, self.examples.network
        with torch.no_grad():
            learned, strength, held_out = learn(self.examples, self.found)
            if self.unlabelled is not None:
                known = learned.known(self.examples.templates.views[0].landmarks.device)
                known = adapted_landmarks(known, inferer, network, self.unlabelled, self.folder)
                learned, strength, held_out = learn(self.examples, self.found, known)
        matching = inferer.settings
        self.record["strength"] = strength
        if held_out is not None:
            errors, expected = held_out.errors, held_out.expected
            if matching.error_factors is None:
                factors = error_factors(errors, expected) * learning_gain(len(errors))
                matching = matching.model_copy(update={"error_factors": tuple(factors.tolist())})
            self.record["held_out_error_px"] = round(float(errors.mean()), 3)
            # By factors from the other templates: their own would make the expected errors look better than they are.
            unseen = cross_validated(errors, expected, folds=len(errors))[0]
            self.record["interval_factor"] = round(interval_factor(errors, unseen, INTERVAL), 3)
            self.record["doubtful"] = [
                {
                    "image": inferer.template.all[template].name,
                    "landmark": inferer.template.landmarks.names[landmark],
                    "distance_px": round(float(errors[template, landmark]), 1),
                }
                for template, landmark in doubtful_annotations(held_out)
            ]
        return Model(network, inferer.template, matching, trained=True, learned=learned)

    def _tell(self) -> None:
        if "held_out_error_px" in self.record:
            error, factor = self.record["held_out_error_px"], self.record["interval_factor"]
            print(
                f"on each template, a model of the others is {error:.2f} px off in the mean; {INTERVAL:.0%} of the "
                f"points lie within {factor:.2f} times their expected error"
            )
        for doubt in self.record.get("doubtful", ()):
            print(
                f"check {doubt['image']}: the other templates find its landmark {doubt['landmark']} "
                f"{doubt['distance_px']:.0f} px from where it was annotated"
            )

    def _iteration(self, engine: Any, batchdata: Any) -> dict[str, Any]:
        """Fit one landmark; the loss is the mean cross-entropy of its filters on templates held out."""
        examples: LandmarkExamples = batchdata
        path = self.folder / f"landmark_{examples.landmark:04d}.pt"
        found = kept(path, lambda: fit_landmark(examples))
        self.found[examples.landmark] = found
        base = torch.stack([held_out_base(scores, index) for index, scores in enumerate(examples.scores)])
        loss = cross_entropy(base + examples.prior, examples.distance)(found["held_out.cross_entropy"])
        return {"loss": float(loss) / len(base), "landmark": examples.landmark}


def learning_gain(count: int) -> float:
    """By how much K templates err less than those that are left when some are held out, m: (1 + 1/K) / (1 + 1/m)."""
    return (1 + 1 / count) / (1 + 1 / len(others_of(0, count)))


class HeldOut(NamedTuple):
    """How a model of the other templates does on each template.

    Attributes:
        errors: (K, N), pixels between the annotation and the place where it finds the landmark.
        expected: (K, N), what it expects of that.
        extents: (K,), extent of each template's layout in pixels.
    """

    errors: np.ndarray
    expected: np.ndarray
    extents: np.ndarray


def learn(
    examples: TemplateExamples, found: Mapping[int, Mapping[str, Tensor]], adapted: KnownLandmarks | None = None
) -> tuple[LearnedLandmarks, float, HeldOut | None]:
    r"""Mix discriminants and filters, with the strength that templates held out allow.

    The kernel w of a landmark and a scale, with its discriminant v and the filters d of both losses, becomes

    .. math:: 0.64 \Big( w + \alpha \big( \tfrac14 (v - w) + \tfrac34 d_\text{distance-aware}
        + \tfrac34 \min(1, \tfrac{K}{10})\, d_\text{cross-entropy} + [w]_\text{crops} \big) \Big).

    Args:
        examples: the templates.
        found: for each landmark what :func:`bundle.training.landmark_examples.fit_landmark` gave.
        adapted: kernels to start from instead of the mean of the templates'.

    Returns:
        the landmarks as inference needs them, the multiple of the usual weights, and how that does on each template;
        None with one template.
    """
    matcher, templates = examples.inferer.matcher, examples.templates
    temperature = examples.inferer.settings.temperature
    count = len(templates.views)
    everyone = adapted or templates.landmarks()
    others = [templates.landmarks(others_of(index, count)) for index in range(count)]
    plain = [[one / temperature for one in matcher.plain_filters(known)] for known in (everyone, *others)]
    share, together = (DISCRIMINANT, TOGETHER) if count > 1 else (DISCRIMINANT_ALONE, TOGETHER_ALONE)
    towards = [[share * step for step in steps] for steps in _towards_discriminants(examples, plain)]
    if everyone.crop_kernels is not None:
        towards = [[*steps[:-1], steps[-1] + kernels[-1]] for steps, kernels in zip(towards, plain)]
    strength, best = 1.0, None
    if count > 1:
        filtered = _mixed(found, "held_out.{}", count)  # (N, K, S, S)
        unseen = [
            example.lattice.scores(step) + filtered[:, index]
            for index, (example, step) in enumerate(zip(examples.examples, towards[1:]))
        ]
        tried = {alpha: _hold_out(examples, others, [alpha * one for one in unseen]) for alpha in STRENGTHS}
        if count >= FEWEST_FOR_TRIAL:
            strength = chosen_strength({alpha: _mean_errors(one) for alpha, one in tried.items()})
        best = tried[strength]
    filters = [
        temperature * together * (kernel + strength * (step + _mixed(found, f"{{}}.{number}", count)))
        for number, (kernel, step) in enumerate(zip(plain[0], towards[0]))
    ]
    layouts = torch.stack(list(templates.landmarks().layouts)).cpu()
    learned = LearnedLandmarks(
        layouts, tuple(everyone.kernels), tuple(filters), everyone.crop_matrix, everyone.crop_kernels
    )
    return learned, strength, best


def chosen_strength(errors: Mapping[float, np.ndarray]) -> float:
    """The largest strength that does no worse than none, or by no more than the standard error of the difference.

    The least error would be at smaller ones, for templates held out are judged by filters from fewer templates, which
    want smaller steps than those from all.

    Args:
        errors: for each strength (K,), the mean error on each template.
    """
    worse = {strength: error - errors[0.0] for strength, error in errors.items()}
    return max(strength for strength, more in worse.items() if more.mean() <= more.std(ddof=1) / np.sqrt(len(more)))


def doubtful_annotations(held_out: HeldOut) -> list[tuple[int, int]]:
    """The annotations that are probably wrong, as numbers of template and landmark, the worst first.

    Args:
        held_out: how models of the other templates do on each template; ``expected`` before any calibration on these
            same errors, which a wrong annotation would have raised.
    """
    errors = held_out.errors
    limit = np.maximum(FAR * held_out.extents[:, None], TIMES_MEDIAN * np.median(errors))
    wrong = (errors > limit) & (errors > TIMES_EXPECTED * held_out.expected)
    return sorted(zip(*(index.tolist() for index in np.nonzero(wrong))), key=lambda doubt: -errors[doubt])


def _mixed(found: Mapping[int, Mapping[str, Tensor]], name: str, count: int) -> Tensor:
    """Weighted sum over the losses of what K templates gave for each landmark under a name: (N, ...)."""
    weights = {"distance_aware": FILTERS, "cross_entropy": FILTERS * min(1.0, SHARE_PER_TEMPLATE * count)}
    rows = [found[landmark] for landmark in sorted(found)]
    return torch.stack(
        [torch.stack([weights[loss] * row[name.format(loss)] for loss in LOSSES]).sum(0) for row in rows]
    )


def _towards_discriminants(examples: TemplateExamples, plain: Sequence[Sequence[Tensor]]) -> list[list[Tensor]]:
    """For each set of kernels, for each window, the way from kernels to discriminants; in units of the temperature."""
    steps = []
    for number, several in enumerate(zip(*plain)):
        cells = [one for example in examples.examples for one in example.lattice.windows[number].cells]
        together = torch.cat(several)
        steps.append((discriminants(cells, together) - together).split(len(several[0])))
    return [list(one) for one in zip(*steps)]


def _hold_out(examples: TemplateExamples, others: Sequence[KnownLandmarks], added: Sequence[Tensor]) -> HeldOut:
    """Find the landmarks of each template by models of the others.

    Args:
        examples: the templates.
        others: for each template the landmarks of the others.
        added: for each template what its filters add to the scores, in units of the temperature, (N, S, S).
    """
    matcher = examples.inferer.matcher
    temperature = examples.inferer.settings.temperature
    rows = []
    for index, (example, known, more) in enumerate(zip(examples.examples, others, added)):
        view = examples.templates.views[index]
        shape = ShapePrior.fit(known.layouts)
        scores = temperature * TOGETHER * (held_out_base(example.scores, index) + more)
        found = matcher.settle(scores, temperature * example.prior, example.lattice, shape)
        known = known._replace(layouts=[shape.mean.to(view.landmarks.device)])
        judged = matcher.judge(known, [], view.view, found)
        errors = (found.points - view.landmarks).norm(dim=1)
        rows.append((errors, judged.expected_error, torch.tensor(extent(view.landmarks))))
    return HeldOut(*(torch.stack(part).cpu().double().numpy() for part in zip(*rows)))


def _mean_errors(held_out: HeldOut) -> np.ndarray:
    """Mean error on each template as a fraction of the extent, (K,); a gross one counts as much as :data:`GROSS`."""
    return np.minimum(held_out.errors / held_out.extents[:, None], GROSS).mean(axis=1)
