"""Active learning: which image an annotation of helps most."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monailabel.interfaces.tasks.strategy import Strategy

from bundle.errors import BundleError, ConfigError
from bundle.selection import deformation_of_each, rank_by_coverage, whiten_together
from label_server.datastore import StudyDatastore
from label_server.predictor import Predictor
from study.annotations import AnnotatedImage
from study.features import ImageFeatures

#: How many images that the model has not seen yet one request looks at, where the client does not say.
DEFAULT_LIMIT = 30

#: Of a larger study so many images are looked at, and each is compared with so many others: a minute or two.
MOST_IMAGES, MOST_COMPARED = 200, 40


class Representative(Strategy):
    """Proposes the image of the most typical shape: the best template for the others.

    Args:
        predictor: whose thread does the work.
        features: the images' maps.
    """

    def __init__(self, predictor: Predictor, features: ImageFeatures) -> None:
        super().__init__("The image without an annotation whose shape is most like that of all others")
        self.predictor = predictor
        self.features = features

    def __call__(self, request: Mapping[str, Any], datastore: StudyDatastore) -> dict[str, Any] | None:
        """The proposal: ``id``, ``reason`` and ``unreadable`` (ids of files that are no radiographs); None for none."""
        open_ids = set(datastore.get_unlabeled_images())
        bent, unreadable = self._deformation({name: datastore.image_file(name) for name in looked_at(datastore)})
        best = next((name for name in bent if name in open_ids), None)
        if best is None:
            return None
        if len(bent) == 1:
            return {"id": best, "reason": "it is the only image", "unreadable": unreadable}
        reason = (
            f"its shape is the most typical of {len(bent)} images: the others are bent by {100 * bent[best]:.2f} % of "
            "the long side to look like it"
        )
        return {"id": best, "reason": reason, "unreadable": unreadable}

    def most_typical_first(self, annotated: Sequence[AnnotatedImage]) -> list[AnnotatedImage]:
        """Annotated images by how typical their shapes are among them, for the templates of a training."""
        bent, _ = self._deformation({case.image_id: case.image for case in annotated})
        return sorted((case for case in annotated if case.image_id in bent), key=lambda case: bent[case.image_id])

    def _deformation(self, images: Mapping[str, Path]) -> tuple[dict[str, float], list[str]]:
        """How far others are bent to look like each image that can be read, the least first; ids of the others."""
        maps, unreadable = self.maps(images)
        if len(maps) < 2:
            return dict.fromkeys(maps, 0.0), unreadable
        values = deformation_of_each(list(maps.values()), MOST_COMPARED)
        # Image by image, so that what others ask for meanwhile waits for one of them only.
        bent = {name: self.predictor.in_turn(lambda: next(values)) for name in maps}
        return dict(sorted(bent.items(), key=lambda pair: pair[1])), unreadable

    def maps(self, images: Mapping[str, Path]) -> tuple[dict[str, torch.Tensor], list[str]]:
        """Whitened maps of the images that can be read, and the ids of the others."""
        found: dict[str, torch.Tensor] = {}
        unreadable: list[str] = []
        for name, path in images.items():
            try:
                found[name] = self.predictor.in_turn(lambda path=path: self.features.of(path))
            except BundleError:
                unreadable.append(name)
        return (dict(zip(found, whiten_together(list(found.values())))) if found else {}), unreadable


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
    """The image of the most typical shape while nothing is annotated, then the one that stands for most of the others.

    Args:
        representative: the strategy of the first annotation.
    """

    def __init__(self, representative: Representative) -> None:
        super().__init__("First the image of the most typical shape, then the one that stands for most of the others")
        self.representative = representative

    def __call__(self, request: Mapping[str, Any], datastore: StudyDatastore) -> dict[str, Any] | None:
        """The proposal: ``id``, ``reason`` and ``unreadable`` (ids of files that are no radiographs); None for none."""
        annotated = [case.image_id for case in datastore.annotated()]
        if not annotated:
            return self.representative(request, datastore)
        names = sorted({*looked_at(datastore), *annotated})
        maps, unreadable = self.representative.maps({name: datastore.image_file(name) for name in names})
        open_ids = set(datastore.get_unlabeled_images())
        ranking = rank_by_coverage(maps, [name for name in annotated if name in maps])
        best = next((name for name, _ in ranking if name in open_ids), None)
        if best is None:
            return None
        reason = f"of {len(maps)} images it stands for most of those that look least like the annotated ones"
        return {"id": best, "reason": reason, "unreadable": unreadable}


def looked_at(datastore: StudyDatastore) -> list[str]:
    """The ids of all images or, of a larger study, of the same :data:`MOST_IMAGES` every time."""
    names = sorted(datastore.list_images())
    if len(names) <= MOST_IMAGES:
        return names
    return sorted(np.random.default_rng(0).choice(names, MOST_IMAGES, replace=False).tolist())
