"""Active learning: which image an annotation of helps most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monailabel.interfaces.tasks.strategy import Strategy

from bundle.errors import BundleError, ConfigError
from label_server.annotations import AnnotatedImage
from label_server.datastore import StudyDatastore
from label_server.image_features import ImageFeatures, mean_similarity
from label_server.predictor import Predictor

#: How many images that the model has not seen yet one request looks at, where the client does not say.
DEFAULT_LIMIT = 30


class Representative(Strategy):
    """Proposes the image that is most like all others: the best template for them.

    Args:
        predictor: whose thread does the work.
        features: the images' vectors.
    """

    def __init__(self, predictor: Predictor, features: ImageFeatures) -> None:
        super().__init__("The image without an annotation that is most like all others")
        self.predictor = predictor
        self.features = features

    def __call__(self, request: Mapping[str, Any], datastore: StudyDatastore) -> dict[str, Any] | None:
        """The proposal: ``id``, ``reason`` and ``unreadable`` (ids of files that are no radiographs); None for none."""
        open_ids = set(datastore.get_unlabeled_images())
        found, unreadable = self._vectors(
            {name: datastore.image_file(name) for name in sorted(datastore.list_images())}
        )
        candidates = [name for name in found if name in open_ids]
        if not candidates:
            return None
        if len(found) == 1:
            return {"id": candidates[0], "reason": "it is the only image", "unreadable": unreadable}
        similarity = dict(zip(found, mean_similarity(np.stack(list(found.values())))))
        best = max(candidates, key=lambda name: similarity[name])
        reason = f"it is most like the others: mean similarity {similarity[best]:.3f} to {len(found) - 1} images"
        return {"id": best, "reason": reason, "unreadable": unreadable}

    def choose(self, annotated: Sequence[AnnotatedImage]) -> AnnotatedImage:
        """The one of several annotated images that is most like the others of them, for the template of a training."""
        found, _ = self._vectors({case.image_id: case.image for case in annotated})
        if len(found) < 2:
            return annotated[0]
        similarity = dict(zip(found, mean_similarity(np.stack(list(found.values())))))
        return max((case for case in annotated if case.image_id in found), key=lambda case: similarity[case.image_id])

    def _vectors(self, images: Mapping[str, Path]) -> tuple[dict[str, np.ndarray], list[str]]:
        """The vectors of the images that can be read, and the ids of the others."""
        found: dict[str, np.ndarray] = {}
        unreadable: list[str] = []
        for name, path in images.items():
            try:
                found[name] = self.predictor.in_turn(lambda path=path: self.features.of(path))
            except BundleError:
                unreadable.append(name)
        return found, unreadable


class LeastConfident(Strategy):
    """Proposes the image of whose points the model is least sure.

    Args:
        predictor: the bundle, held open.
    """

    def __init__(self, predictor: Predictor) -> None:
        super().__init__("The image without an annotation whose points have the lowest mean confidence")
        self.predictor = predictor

    def __call__(self, request: Mapping[str, Any], datastore: StudyDatastore) -> dict[str, Any] | None:
        """The proposal: ``id``, ``reason``, ``unreadable``, and ``unseen``, how many images were not looked at.

        Images that the model has seen cost nothing; of the others at most ``limit`` are looked at.

        Raises:
            ConfigError: when ``limit`` is out of range, or there is no model and no annotation.
        """
        limit = request.get("limit", DEFAULT_LIMIT)
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= 10_000:
            raise ConfigError(f"limit is {limit!r}, expected a whole number from 1 to 10000.")
        self.predictor.in_turn(self.predictor.opened)
        confidence: dict[str, float] = {}
        unreadable: list[str] = []
        unseen = 0
        for name in sorted(datastore.get_unlabeled_images()):
            path = datastore.image_file(name)
            try:
                known = self.predictor.in_turn(lambda path=path: self.predictor.known_confidence(path))
                if known is None and limit <= 0:
                    unseen += 1
                    continue
                if known is None:
                    limit -= 1
                    known = float(np.mean(self.predictor.predict(path, name).confidence))
                confidence[name] = known
            except BundleError:
                unreadable.append(name)
        if not confidence:
            return None
        least = min(confidence, key=lambda name: confidence[name])
        reason = (
            f"the model is least sure of it: mean confidence {confidence[least]:.2f} among {len(confidence)} images"
        )
        return {"id": least, "reason": reason, "unreadable": unreadable, "unseen": unseen}


class HelpsMost(Strategy):
    """The most representative image while nothing is annotated, then the one that the model is least sure of.

    Args:
        representative: the strategy of the first annotation.
        least_confident: the strategy of all later ones.
    """

    def __init__(self, representative: Representative, least_confident: LeastConfident) -> None:
        super().__init__("First the image that is most like all others, then that of which the model is least sure")
        self.representative = representative
        self.least_confident = least_confident

    def __call__(self, request: Mapping[str, Any], datastore: StudyDatastore) -> dict[str, Any] | None:
        """The proposal of the strategy whose turn it is."""
        return (self.least_confident if datastore.annotated() else self.representative)(request, datastore)
