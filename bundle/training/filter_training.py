"""The default training, from annotated images to a checkpoint."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from bundle.errors import ConfigError
from bundle.metrics.calibration import cross_validated, error_factors, interval_factor
from bundle.model.building import Model, fit_whitening
from bundle.training.adaptation import adapted_landmarks
from bundle.training.landmark_trainer import LandmarkTrainer, others_of
from bundle.training.leave_one_out import TemplateExamples
from bundle.training.mixing import Doubt, doubtful_annotations, learn
from bundle.training.run_folder import forget_run
from bundle.training.save_model import save_model

#: Share of the points that lie within the interval that a training tells of.
INTERVAL = 0.9


class FilterTraining:
    """Fits the whitening, and learns the filters.

    Args:
        trainer: fits each landmark.
        examples: the templates, with network and matching.
        record: settings of the training, for the record.
        adapt: whether a single template shall adapt to unlabelled images.
        unlabelled: a folder of these, or a data list.

    Raises:
        ConfigError: when network or matching are those of trained decoders, or several templates shall adapt.
    """

    def __init__(
        self,
        trainer: LandmarkTrainer,
        examples: TemplateExamples,
        record: Mapping[str, Any],
        adapt: bool = False,
        unlabelled: str | Path | None = None,
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
        self.unlabelled = unlabelled if adapt else None
        self.trainer = trainer
        self.examples = examples
        self.record = dict(record)

    def learn(self) -> Model:
        """Train, and see how well landmarks of each template are found by a model of the others.

        Returns:
            the model; :attr:`record` then says what was seen.
        """
        inferer, network = self.examples.inferer, self.examples.network
        inferer.template.require()
        fit_whitening(network, inferer.template)
        self.trainer.run()
        with torch.no_grad():
            lesson = learn(self.examples, self.trainer.found)
            if self.unlabelled is not None:
                known = lesson.learned.known(self.examples.templates.views[0].landmarks.device)
                known = adapted_landmarks(known, inferer, network, self.unlabelled, self.trainer.folder)
                lesson = learn(self.examples, self.trainer.found, known)
        matching = inferer.settings
        self.record["strength"] = lesson.strength
        if lesson.held_out is not None:
            errors, expected = lesson.held_out.errors, lesson.held_out.expected
            if matching.error_factors is None:
                factors = error_factors(errors, expected) * learning_gain(len(errors))
                matching = matching.model_copy(update={"error_factors": tuple(factors.tolist())})
            self.record["held_out_error_px"] = round(float(errors.mean()), 3)
            # By factors from the other templates: their own would make the expected errors look better than they are.
            unseen = cross_validated(errors, expected, folds=len(errors))[0]
            self.record["interval_factor"] = round(interval_factor(errors, unseen, INTERVAL), 3)
            self.record["doubtful"] = [self._describe(doubt) for doubt in doubtful_annotations(lesson.held_out)]
        return Model(network, inferer.template, matching, trained=True, learned=lesson.learned)

    def run(self, model_path: str | Path, keep_images: bool = True) -> None:
        """Train, say what was seen, and write the model.

        Args:
            model_path: the file to write.
            keep_images: whether it shall hold the templates' images.
        """
        model = self.learn()
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
        save_model(model_path, model.network, model.template, model.matching, self.record, model.learned, keep_images)
        forget_run(self.trainer.folder)

    def _describe(self, doubt: Doubt) -> dict[str, Any]:
        template = self.examples.inferer.template.all[doubt.template]
        name = template.landmarks.names[doubt.landmark]
        return {"image": template.name, "landmark": name, "distance_px": round(doubt.distance, 1)}


def learning_gain(count: int) -> float:
    """By how much K templates err less than those that are left when some are held out, m: (1 + 1/K) / (1 + 1/m)."""
    return (1 + 1 / count) / (1 + 1 / len(others_of(0, count)))
