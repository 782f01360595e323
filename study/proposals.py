"""What a model proposes for an image, kept in the study until it finds something else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bundle.records.prediction import LandmarkPrediction, annotated
from bundle.records.radiograph import Radiograph
from bundle.writers.json_file import write_json
from bundle.writers.result_json import result_document
from bundle.writers.slicer_markups import markups_document
from study.annotations import Mark
from study.folder import Study


@dataclass(frozen=True)
class Proposal:
    """The landmarks that were found in one image.

    Attributes:
        image_id: the image.
        names: N names.
        points: (N, 2), ``(x, y)`` in pixels; NaN where none was found.
        expected_error: (N,), in pixels; NaN where not known.
        confidence: (N,), 0 to 1.
        source: what it was found with, see :meth:`study.loop.Loop.source`.
        spacing: millimetres per pixel ``(x, y)``, or None.
    """

    image_id: str
    names: tuple[str, ...]
    points: np.ndarray
    expected_error: np.ndarray
    confidence: np.ndarray
    source: str
    spacing: tuple[float, float] | None

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

    def get(self, image_id: str) -> Proposal | None:
        """What was found in an image; None where nothing was, or its file is damaged: it is then found again."""
        path = self.folder / f"{image_id}.json"
        try:
            changed = path.stat().st_mtime_ns
            if image_id not in self._known or self._known[image_id][0] != changed:
                self._known[image_id] = (changed, _read(path, image_id))
            return self._known[image_id][1]
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _read(path: Path, image_id: str) -> Proposal:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    result = document["result"]

    def column(*keys: str) -> np.ndarray:
        return np.array([[row[key] for key in keys] for row in result["landmarks"]], dtype=np.float64)

    return Proposal(
        image_id=image_id,
        names=tuple(row["name"] for row in result["landmarks"]),
        points=column("x", "y"),
        expected_error=column("expected_error_px")[:, 0],
        confidence=column("confidence")[:, 0],
        source=document["source"],
        spacing=None if result["pixel_spacing_mm"] is None else tuple(result["pixel_spacing_mm"]),
    )


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
    points = np.array([mark.point or (np.nan, np.nan) for mark in marks], dtype=np.float64)
    return annotated(tuple(mark.name for mark in marks), points, image, image_id, expected_error)
