"""The inference that MONAI Label offers: an image of the study, or one that a client sends, to points."""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from monailabel.utils.others.generic import device_list

from bundle.io.formats import image_suffix
from bundle.writers.files import safe_image_id
from bundle.writers.result_json import result_document
from bundle.writers.slicer_markups import markups_document
from label_server.predictor import Predictor


class LandmarkInferTask(InferTask):
    """Answers with the points that the predictor finds.

    The type is that of detections, for which 3D Slicer's module of MONAI Label lists the model and takes markups.

    Args:
        predictor: the bundle, held open.
        description: what the model does.
        version: the bundle's version.
    """

    def __init__(self, predictor: Predictor, description: str, version: str) -> None:
        super().__init__(InferType.DETECTION, {}, 2, description, {"device": device_list()})
        self.predictor = predictor
        self.version = version

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
            callbacks: not used; part of MONAI Label's interface.

        Returns:
            The file of the point list, which MONAI Label removes once it is sent, and the answer with ``result``.

        Raises:
            BundleError: when there is no model to use, or the file is no radiograph.
        """
        begin, path = time.monotonic(), Path(request["image"])
        image_id = safe_image_id(path.name[: len(path.name) - len(image_suffix(path.name))])
        prediction = self.predictor.predict(path, image_id, request.get("device"))
        self.labels = {name: index for index, name in enumerate(prediction.names)}
        with tempfile.NamedTemporaryFile(
            "w", prefix=f"{image_id}-", suffix=".mrk.json", delete=False, encoding="utf-8"
        ) as file:
            json.dump(markups_document(prediction), file, indent=2, ensure_ascii=False, allow_nan=False)
        return file.name, {
            "result": result_document(prediction),
            "label_names": self.labels,
            "latencies": {"total": round(time.monotonic() - begin, 2)},
        }
