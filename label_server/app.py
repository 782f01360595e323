"""The app that MONAI Label runs: the bundle's inference and training, the proposals, the scores, over one study."""

import json
import tempfile
from pathlib import Path
from typing import Any

from fastapi import HTTPException
from monailabel.config import settings
from monailabel.interfaces.app import MONAILabelApp
from monailabel.tasks.activelearning.random import Random

from bundle.errors import BundleError, ConfigError
from bundle.records.validation import validate
from label_server.app_folder import BUNDLE_NAME, make_app_folder
from label_server.datastore import StudyDatastore
from label_server.infer_task import LandmarkInferTask
from label_server.parameters import InferenceParameters, read_training
from label_server.predictor import Predictor, read_configuration
from label_server.scoring import RadialErrorScoring
from label_server.strategies import HelpsMost, LeastConfident, Representative
from label_server.train_task import LandmarkTrainTask
from study.annotations import ORIGINAL, AnnotatedImage, all_placed, file_state, point_names
from study.features import ImageFeatures


class OneShotLandmarksApp(MONAILabelApp):
    """See :class:`monailabel.interfaces.app.MONAILabelApp`.

    Args:
        app_dir: the folder that MONAI Label works in.
        studies: the study folder; remote data stores are not supported.
        conf: settings of the server's command line: ``overlays``, paths of configurations over the bundle's own,
            separated by commas.

    Raises:
        BundleError: when the study is no local folder, an overlay is no file, or a folder cannot be made.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str] | None) -> None:
        if studies.startswith(("http://", "https://")):
            raise BundleError(f"studies is {studies}, expected a local folder: remote data stores are not supported.")
        self.bundle_dir = make_app_folder(app_dir)
        self.overlays = read_overlays((conf or {}).get("overlays", ""))
        self.predictor = Predictor(self.bundle_dir, self.overlays, self._annotated_as_it_is)
        configuration = read_configuration(self.bundle_dir, "train", self.overlays)
        encoder = configuration.get_parsed_content("network").get("encoder")
        weights = configuration.get_parsed_content("encoder_weights")
        features = ImageFeatures(Path(app_dir) / "features", encoder, weights)
        self._representative = Representative(self.predictor, features)
        metadata = json.loads((self.bundle_dir / "configs" / "metadata.json").read_text(encoding="utf-8"))
        self._metadata: dict[str, Any] = metadata
        self._names_of: tuple[Any, tuple[str, ...]] | None = None
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=conf or {},
            name=f"{metadata['name']} for MONAI Label",
            description=metadata["description"],
            version=metadata["version"],
        )

    def init_datastore(self) -> StudyDatastore:
        """The study folder."""
        return StudyDatastore(
            self.studies,
            model_names=self._model_names,
            auto_reload=settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD,
            read_only=settings.MONAI_LABEL_DATASTORE_READ_ONLY,
        )

    def init_infers(self) -> dict[str, LandmarkInferTask]:
        """One model: the bundle."""
        description, version = self._metadata["description"], self._metadata["version"]
        return {BUNDLE_NAME: LandmarkInferTask(self.predictor, description, version)}

    def init_trainers(self) -> dict[str, LandmarkTrainTask]:
        """One training: the bundle's."""
        return {
            BUNDLE_NAME: LandmarkTrainTask(str(self.bundle_dir), self.overlays, self._representative.most_typical_first)
        }

    def init_strategies(self) -> dict[str, Any]:
        """What proposes the next image."""
        return {
            "helps_most": HelpsMost(self._representative),
            "representative": self._representative,
            "least_confident": LeastConfident(self.predictor),
            "random": Random(),
        }

    def init_scoring_methods(self) -> dict[str, RadialErrorScoring]:
        """What compares annotations with predictions."""
        return {"radial_error": RadialErrorScoring(self.predictor)}

    def info(self) -> dict[str, Any]:
        """What there is, with the names of the landmarks as the labels."""
        names = self._model_names() or self._annotated_names() or ()
        for task in self._infers.values():
            task.labels = {name: index for index, name in enumerate(names)}
        return super().info()

    def infer(self, request: dict[str, Any], datastore: Any = None) -> dict[str, Any]:
        """Find the landmarks of one image; only what is known is taken from the request."""
        self.require("model", request.get("model"), self._infers)
        parameters = validate(InferenceParameters, request, "inference")
        known: dict[str, Any] = {
            "model": request["model"],
            "image": self._known_image(request.get("image")),
            "device": parameters.device,
        }
        tag = request.get("label_tag") or ORIGINAL
        if parameters.save_label and tag != ORIGINAL:
            raise ConfigError(
                f"label_tag is {tag!r}, but what a model finds is no annotation and is saved as {ORIGINAL!r} alone: "
                "leave it out."
            )
        found = super().infer(known, datastore)
        if parameters.save_label and self._datastore.has_file(known["image"]):
            info = {"model": known["model"], "params": found["params"]}
            found["label"] = self._datastore.save_prediction(known["image"], Path(found["file"]), info)
        return found

    def train(self, request: dict[str, Any]) -> dict[str, Any]:
        """Train; MONAI Label calls this in a process of its own."""
        self.require("model", request.get("model"), self._trainers)
        return super().train(request)

    def check_model(self, model: str) -> None:
        """Refuse a model that there is not.

        Raises:
            HTTPException: with status 404.
        """
        self.require("model", model, self._infers)

    def check_scoring(self, method: str) -> None:
        """Refuse a scoring method that there is not.

        Raises:
            HTTPException: with status 404.
        """
        self.require("method", method, self._scoring_methods)

    def check_training(self, model: str, request: dict[str, Any]) -> None:
        """Say what is wrong with a training before it is started.

        Raises:
            BundleError: when a parameter is wrong, or nothing is annotated.
            HTTPException: when there is no such model.
        """
        self.require("model", model, self._trainers)
        read_training(request, [case.image_id for case in self._datastore.annotated()])

    def next_sample(self, request: dict[str, Any]) -> dict[str, Any]:
        """The image to annotate next; nothing where all are annotated."""
        self.require("strategy", request.get("strategy"), self._strategies)
        return super().next_sample(request)

    def scoring(self, request: dict[str, Any], datastore: Any = None) -> dict[str, Any]:
        """Compare annotations with predictions."""
        self.require("method", request.get("method"), self._scoring_methods)
        return super().scoring(request, datastore)

    @staticmethod
    def require(what: str, name: Any, known: Any) -> None:
        """Refuse a name that is not known.

        Raises:
            HTTPException: with status 404.
        """
        if name not in known:
            raise HTTPException(404, f"there is no {what} {name!r}: known are {', '.join(known)}.")

    def _known_image(self, image: Any) -> str:
        """An image's id, or the path of a file that a client sent; other files of this machine are out of reach."""
        # The list may lag behind a file that has just been removed.
        if isinstance(image, str) and image in self._datastore.list_images() and self._datastore.has_file(image):
            return image
        sent = [Path(tempfile.gettempdir()).resolve()]
        if self.sessions() is not None:
            sent.append(Path(self.sessions().store_path).resolve())
        path = Path(image).resolve() if isinstance(image, str) and image else None
        if path is not None and path.is_file() and any(folder in path.parents for folder in sent):
            return str(path)
        raise HTTPException(
            404,
            f"there is no image {image!r} in the study: GET /datastore/?output=all lists those that there are, and "
            "PUT /datastore/image adds one.",
        )

    def _annotated_as_it_is(self) -> AnnotatedImage | None:
        """The first image whose annotation has every landmark placed."""
        return next((case for case in self._datastore.annotated() if all_placed(case.label)), None)

    def _annotated_names(self) -> tuple[str, ...] | None:
        for case in self._datastore.annotated():
            return point_names(case.label)
        return None

    def _model_names(self) -> tuple[str, ...] | None:
        """The landmark names of the trained model; None where there is none that can be used."""
        checkpoint = self.predictor.checkpoint
        if not checkpoint.is_file():
            return None
        try:
            state = file_state(checkpoint)
            if self._names_of is None or self._names_of[0] != state:  # no waiting in line for what is known
                self._names_of = (state, self.predictor.in_turn(lambda: self.predictor.opened().names))
        except BundleError:
            return None
        return self._names_of[1]


def read_overlays(text: str) -> list[Path]:
    """The overlays of a command line, separated by commas.

    Raises:
        BundleError: when one is no file.
    """
    paths = [Path(part.strip()) for part in text.split(",") if part.strip()]
    for path in paths:
        if not path.is_file():
            raise BundleError(f"the overlay {path} is no file: give configurations such as configs/head.json.")
    return paths
