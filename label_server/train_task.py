"""The training that MONAI Label offers: the bundle's own, on annotated images of the study."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from monailabel.tasks.train.bundle import BundleTrainTask
from monailabel.utils.others.generic import device_list

from bundle.errors import BundleError
from bundle.records.console import report_errors_plainly
from label_server.datastore import StudyDatastore
from label_server.parameters import read_training
from label_server.predictor import read_configuration
from study.annotations import AnnotatedImage

#: How a client names a parameter, and what a configuration calls it; only the paper's decoders have epochs and warps.
_CONFIG_NAMES = {"max_epochs": "local_epochs", "warps": "warps", "seed": "seed"}

#: With more annotated images the most typical of them are taken: each costs a second or two.
MOST_TEMPLATES = 50


class LandmarkTrainTask(BundleTrainTask):
    """Runs ``configs/train.json`` on the annotated images, in the process that MONAI Label starts for it.

    With overlays that set the strategy ``paper``, it is ``configs/train_decoders.json``, on one image.

    The model appears whole or not at all, so that a training that fails or is stopped leaves the one before.

    Args:
        path: the bundle's folder.
        overlays: configurations over the bundle's own.
        order: puts annotated images in order, the best template first.
    """

    def __init__(
        self, path: str, overlays: Sequence[Path], order: Callable[[Sequence[AnnotatedImage]], list[AnnotatedImage]]
    ) -> None:
        super().__init__(path, conf={})
        matching = read_configuration(Path(path), "train", overlays).get_parsed_content("matching")
        self._one_template = matching.get("strategy") == "paper"
        workflow = "train_decoders" if self._one_template else "train"
        self.bundle_config = read_configuration(Path(path), workflow, overlays)
        self.bundle_config_path = [str(Path(path) / "configs" / f"{workflow}.json"), *map(str, overlays)]
        self.order = order
        self._names = {name: key for name, key in _CONFIG_NAMES.items() if key in self.bundle_config}
        self._settings: dict[str, Any] = {}

    @property
    def _record(self) -> Path:
        return Path(self.bundle_path) / "models" / "training.json"

    def config(self) -> dict[str, Any]:
        """What a client may set, with the defaults."""
        defaults = {name: self.bundle_config.get_parsed_content(key) for name, key in self._names.items()}
        return {"device": device_list(), "template": "", **defaults}

    def stats(self) -> dict[str, Any]:
        """About the training of the present model: nothing before the first."""
        try:
            return json.loads(self._record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}

    def __call__(self, request: dict[str, Any], datastore: StudyDatastore) -> dict[str, Any]:
        """Train.

        Args:
            request: see :func:`label_server.parameters.read_training`.
            datastore: the study.

        Raises:
            BundleError: when a parameter is wrong, or an annotated image cannot be used; the process then ends with
                that sentence as its last line.
        """
        report_errors_plainly()
        annotated = {case.image_id: case for case in datastore.annotated()}
        parameters = read_training(request, annotated)
        templates = self._templates(parameters.template, annotated)
        print(f"training on {', '.join(template.image.name for template in templates)}", flush=True)
        started = time.time()
        given = parameters.model_dump(exclude_none=True)
        self._settings = {self._names[name]: value for name, value in given.items() if name in self._names}
        self._settings |= {
            "template_image": [str(template.image) for template in templates],
            "template_landmarks": [str(template.label) for template in templates],
        }
        super().__call__({**request, "device": parameters.device, "multi_gpu": False, "gpus": "all"}, datastore)
        record = {
            "templates": [template.image_id for template in templates],
            "epoch": self._settings.get("local_epochs", self.config().get("max_epochs", 1)),
            "total_time": round(time.time() - started, 1),
        }
        record["total_epochs"] = record["epoch"]
        self._record.write_text(json.dumps(record, indent=4) + "\n", encoding="utf-8")
        return record

    def _templates(self, names: Sequence[str], annotated: dict[str, AnnotatedImage]) -> list[AnnotatedImage]:
        """The images to train on: those that were named, or the most typical of those without a missing landmark."""
        most = 1 if self._one_template else MOST_TEMPLATES
        if len(names) > most:
            raise BundleError(f"template names {len(names)} images, but at most {most} can be trained on: name fewer.")
        if names:
            return [annotated[name] for name in names]
        whole = [case for case in annotated.values() if not case.landmarks().missing.any()]
        if not whole:
            raise BundleError(
                "no annotated image has all its landmarks placed: place the missing ones on one image, and save again."
            )
        return self.order(whole)[:most] if len(whole) > 1 else whole

    def _fetch_datalist(self, request: Any, datastore: Any) -> list[dict[str, str]]:
        return []

    def _partition_datalist(self, datalist: Any, request: Any, shuffle: bool = False) -> tuple[Any, Any]:
        return datalist, None

    def _load_checkpoint(self, model_pytorch: Any, pretrained: Any, train_handlers: Any) -> None:
        """Nothing to load: a training always starts from the frozen encoder, never from another template's decoders."""

    def _update_overrides(self, overrides: dict[str, Any]) -> dict[str, Any]:
        """The bundle trains on a template, not on lists of images."""
        for key in (self.const.key_train_dataset_data(), self.const.key_train_handlers()):
            overrides.pop(key)
        overrides.pop(self.const.key_train_trainer_max_epochs())
        overrides |= self._settings
        return overrides
