"""What a model proposes for an image, kept in the study until it finds something else."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bundle.io.decoded import parse_spacing
from bundle.records.prediction import LandmarkPrediction, annotated
from bundle.records.radiograph import Radiograph
from bundle.writers.files import write_json
from bundle.writers.result_json import read_result, result_document
from bundle.writers.slicer_markups import markups_document
from study.annotations import Mark, as_landmarks
from study.folder import Study


@dataclass(frozen=True, kw_only=True)
class Proposal(LandmarkPrediction):
    """The landmarks that were found in one image.

    Attributes:
        source: what it was found with, see :meth:`study.loop.Loop.source`.
    """

    source: str

    def marks(self, names: Sequence[str]) -> list[Mark]:
        """The landmarks of a protocol as proposed; those that were not found are open."""
        found = {
            name: (float(x), float(y)) for name, (x, y) in zip(self.names, self.points) if np.isfinite([x, y]).all()
        }
        return [Mark(name, found.get(name), "proposed" if name in found else "open") for name in names]


class Proposals:
    """The proposals of a study, read from its folder when they have changed.

    Args:
        study: the study.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self.folder = study.own / "proposals"
        self._known: dict[str, tuple[int, Proposal]] = {}

    def save(self, image_id: str, found: LandmarkPrediction, source: str) -> None:
        """Keep what was found, for the workbench and as a point list for MONAI Label and 3D Slicer.

        Raises:
            BundleError: when the study cannot be changed.
        """
        self.study.save_prediction(image_id, json.dumps(markups_document(found), indent=2).encode())
        write_json(self.folder / f"{image_id}.json", {"source": source, "result": result_document(found)})

    def get(self, image_id: str, names: Sequence[str] | None = None) -> Proposal | None:
        """What was found in an image, where it has these landmarks in this order, or any.

        None where nothing was found, or the file is damaged: it is then found again.
        """
        path = self.folder / f"{image_id}.json"
        try:
            changed = path.stat().st_mtime_ns
            if image_id not in self._known or self._known[image_id][0] != changed:
                document = json.loads(path.read_text(encoding="utf-8"))
                found = read_result(document["result"], self.study.images()[image_id])
                self._known[image_id] = (changed, Proposal(**vars(found), source=document["source"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        known = self._known[image_id][1]
        given = parse_spacing(self.study.spacings().get(image_id))
        if given is not None:  # perhaps since it was found
            known = replace(known, spacing=given, spacing_source="config")
        return known if names is None or known.names == tuple(names) else None

    def of_accepted(
        self, names: Sequence[str], accepted: Mapping[str, np.ndarray]
    ) -> tuple[list[Proposal], np.ndarray]:
        """What had been found in images before they were accepted, and what was accepted in each, (M, N, 2).

        Args:
            names: N landmarks.
            accepted: the points that people accepted by image, (N, 2) each.
        """
        found = [one for image_id in accepted if (one := self.get(image_id, names)) is not None]
        return found, np.array([accepted[one.image_id] for one in found]).reshape(len(found), len(names), 2)


def as_prediction(
    marks: Sequence[Mark], image: Radiograph, image_id: str, expected_error: np.ndarray | None = None
) -> LandmarkPrediction:
    """Landmarks of a study as what writers and measurements take.

    Args:
        marks: the landmarks.
        image: the image, or its geometry.
        image_id: what it is called.
        expected_error: (N,), in pixels, where it is known.
    """
    found = as_landmarks(marks)
    return annotated(found.names, found.points, image, image_id, expected_error)
