"""The inference that MONAI Label offers: an image of the study, or one that a client sends, to points."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from monailabel.interfaces.tasks.infer_v2 import InferType
from monailabel.tasks.infer.basic_infer import BasicInferTask

from bundle.handlers.run_saver import as_prediction
from bundle.io.formats import image_suffix
from bundle.writers.naming import safe_image_id
from bundle.writers.result_json import result_document
from bundle.writers.slicer_markups import markups_document
from label_server.predictor import OpenedBundle, Predictor, infer_one


class LandmarkInferTask(BasicInferTask):
    """Runs the transforms and the inferer of ``configs/inference.json`` and answers with points.

    The type is that of detections, for which 3D Slicer's module of MONAI Label lists the model and takes markups.

    Args:
        predictor: the bundle, held open.
        description: what the model does.
        version: the bundle's version.
    """

    def __init__(self, predictor: Predictor, description: str, version: str) -> None:
        self.predictor = predictor
        self.version = version
        super().__init__(
            path=str(predictor.checkpoint),
            network=None,
            type=InferType.DETECTION,
            labels={},
            dimension=2,
            description=description,
        )

    def is_valid(self) -> bool:
        """Always: without a model, a request says what is missing."""
        return True

    def info(self) -> dict[str, Any]:
        """See :class:`monailabel.interfaces.tasks.infer_v2.InferTask`."""
        return {**super().info(), "version": self.version}

    def __call__(self, request: dict[str, Any], callbacks: Any = None) -> tuple[str | None, dict[str, Any]]:
        """Find the landmarks of one image, after the requests that came before.

        Args:
            request: ``image``, a path; ``device``.
            callbacks: see :class:`monailabel.tasks.infer.basic_infer.BasicInferTask`.

        Returns:
            The file of the point list, and the answer with ``result``.

        Raises:
            BundleError: when there is no model to use, or the file is no radiograph.
        """
        return self.predictor.in_turn(lambda: super(LandmarkInferTask, self).__call__(request, callbacks))

    def pre_transforms(self, data: Any = None) -> Sequence[Callable[..., Any]]:
        """The bundle's own."""
        return self._opened(data).preprocessing

    def run_detector(self, data: dict[str, Any], convert_to_batch: bool = True, device: str = "cpu") -> dict[str, Any]:
        """Image to prediction; MONAI Label calls it for the type of detections."""
        data[self.output_label_key] = infer_one(self._opened(data), data[self.input_key])
        return data

    def post_transforms(self, data: Any = None) -> Sequence[Callable[..., Any]]:
        """The bundle's own."""
        return self._opened(data).postprocessing

    def writer(self, data: Any, extension: Any = None, dtype: Any = None) -> tuple[str, dict[str, Any]]:
        """The point list as a file, which MONAI Label removes once it is sent, and the answer."""
        opened = self._opened(data)
        self.labels = {name: index for index, name in enumerate(opened.names)}
        path = Path(data["image_path"])
        image_id = safe_image_id(path.name[: len(path.name) - len(image_suffix(path.name))])
        prediction = opened.measure(as_prediction({**data, "image_id": image_id}, opened.names))
        self.predictor.remember(path, prediction)
        with tempfile.NamedTemporaryFile(
            "w", prefix=f"{image_id}-", suffix=".mrk.json", delete=False, encoding="utf-8"
        ) as file:
            json.dump(markups_document(prediction), file, indent=2, ensure_ascii=False, allow_nan=False)
        return file.name, {"result": result_document(prediction)}

    def _opened(self, data: Any) -> OpenedBundle:
        return self.predictor.opened(data["device"])
