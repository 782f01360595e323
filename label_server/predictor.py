"""The bundle's own inference, held open: an image file in, its landmarks out, always with the newest model."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from monai.bundle import ConfigParser

from bundle import LandmarkFinder
from bundle.errors import ConfigError
from bundle.records.prediction import LandmarkPrediction
from study.annotations import AnnotatedImage, file_state

Result = TypeVar("Result")

#: What was opened: the device, and the states of the checkpoint or else of the template's two files.
_Source = tuple[Any, ...]


class Predictor:
    """Finds landmarks with the study's trained model or, before any training, with an annotated image as it is.

    One thread does all the work, one image after the other: the images of ten clients at once then need the memory of
    one, and the threads of PyTorch do not multiply.

    Args:
        bundle: the bundle's folder.
        overlays: configurations over the bundle's own, as on the command line of the bundle.
        find_template: the annotated image to match to while there is no trained model; None where there is none.
    """

    def __init__(
        self, bundle: Path, overlays: Sequence[Path], find_template: Callable[[], AnnotatedImage | None]
    ) -> None:
        self.bundle = bundle
        self.overlays = tuple(overlays)
        self.find_template = find_template
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="landmarks")
        self._worker_id: int | None = None
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._opened: tuple[_Source, LandmarkFinder] | None = None
        self._confidence: dict[tuple[Any, ...], float] = {}

    @property
    def checkpoint(self) -> Path:
        """Where the study's trained model is, or will be."""
        return self.bundle / "models" / "model.pt"

    def in_turn(self, work: Callable[[], Result]) -> Result:
        """Do something in the one working thread, after what waits there already."""
        if threading.get_ident() == self._worker_id:
            return work()

        def run() -> Result:
            self._worker_id = threading.get_ident()
            return work()

        return self._worker.submit(run).result()

    def opened(self, device: str | None = None) -> LandmarkFinder:
        """The finder with the newest model, opened again only when that has changed. Only in the working thread.

        Args:
            device: PyTorch's name of a device; None takes the one that was used last.

        Raises:
            ConfigError: when there is neither a model nor an annotated image.
            BundleError: when one of them cannot be used.
        """
        self._device = device or self._device
        source, settings = self._source(self._device)
        if self._opened is None or self._opened[0] != source:
            self._opened = None  # before the new one is made, so that there are never two in memory
            self._confidence.clear()
            self._opened = (source, self._open(settings))
        return self._opened[1]

    def _source(self, device: str) -> tuple[_Source, dict[str, Any]]:
        settings = {"bundle_root": str(self.bundle), "device": device}
        if self.checkpoint.is_file():
            return (device, file_state(self.checkpoint)), {**settings, "model_path": str(self.checkpoint)}
        template = self.find_template()
        if template is None:
            raise ConfigError(
                "there is no trained model and no annotated image yet: annotate one image, save its landmarks with "
                "PUT /datastore/label, and ask again, or train on it."
            )
        settings |= {"template_image": str(template.image), "template_landmarks": str(template.label)}
        return (device, None, file_state(template.image), file_state(template.label)), settings

    def _open(self, settings: dict[str, Any]) -> LandmarkFinder:
        """Of the parts of the study's ``configs/inference.json``."""
        parser = read_configuration(self.bundle, "inference", self.overlays)
        parser.update(settings)
        return LandmarkFinder(
            parser.get_parsed_content("model"),
            preprocessing=parser.get_parsed_content("preprocessing"),
            inferer=parser.get_parsed_content("inferer"),
            postprocessing=parser.get_parsed_content("postprocessing"),
            measurements=parser.get_parsed_content("measurement_plan") if "measurement_plan" in parser else None,
        )

    def predict(self, image: Path, image_id: str, device: str | None = None) -> LandmarkPrediction:
        """Find the landmarks of one image file, after the requests that came before.

        Args:
            image: the file.
            image_id: what the image is called in the result.
            device: see :meth:`opened`.

        Returns:
            The landmarks, points ``(x, y)`` = (column, row) in pixels, 0-based, pixel centres at integers.

        Raises:
            BundleError: when there is no model to use, or the file is no radiograph.
        """

        def find() -> LandmarkPrediction:
            found, _ = self.opened(device).find_item({"image": str(image), "image_id": image_id})
            self._confidence[file_state(image)] = float(np.mean(found.confidence))
            return found

        return self.in_turn(find)

    def known_confidence(self, image: Path) -> float | None:
        """The mean confidence of an image, if the newest model has seen it. Only in the working thread."""
        self.opened()
        return self._confidence.get(file_state(image))


def read_configuration(bundle: Path, name: str, overlays: Sequence[Path]) -> ConfigParser:
    """One of the bundle's configurations with the overlays over it."""
    parser = ConfigParser()
    parser.read_config([str(bundle / "configs" / f"{name}.json"), *map(str, overlays)])
    return parser
