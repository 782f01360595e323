"""The result of one image as JSON, by the schema docs/schema/result-2.schema.json."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from bundle.records.measured_value import MeasuredValue
from bundle.records.prediction import LandmarkPrediction
from bundle.writers.atomic import atomic_file
from bundle.writers.naming import output_path, printable

#: Name and version of the schema; the version changes when a reader of the old one would stumble.
SCHEMA = "one-shot-landmarks/result/2"


def rounded(value: float, decimals: int) -> float | None:
    """A finite number rounded for a file, or None where it is not finite."""
    number = float(value)
    return round(number, decimals) + 0.0 if math.isfinite(number) else None


def lps_positions(prediction: LandmarkPrediction) -> np.ndarray:
    """Where 3D Slicer shows the landmarks.

    Args:
        prediction: the landmarks of one image.

    Returns:
        Array of shape (N, 3): LPS in mm; NaN where a landmark is missing.
    """
    homogeneous = np.column_stack([prediction.points, np.ones(len(prediction.names))])
    return homogeneous @ prediction.pixel_to_lps.T


def result_document(prediction: LandmarkPrediction) -> dict[str, Any]:
    """The result of one image as a JSON document.

    Args:
        prediction: the landmarks of one image.

    Returns:
        The document: pixels and mm with 3 decimals, LPS, similarity, confidence and measurements with 4; None for what
        is unknown. It names the image file without its folder.
    """
    spacing = prediction.spacing
    unknown = np.full((len(prediction.names), 2), np.nan)
    points_mm = prediction.points_mm
    points_mm = unknown if points_mm is None else points_mm
    # Half of a squared radius belongs to each axis.
    mm_a_pixel = math.nan if spacing is None else math.sqrt((spacing[0] ** 2 + spacing[1] ** 2) / 2)
    landmarks = []
    for i, lps in enumerate(lps_positions(prediction)):
        position = [rounded(value, 4) for value in lps]
        missing = not np.isfinite(prediction.points[i]).all()
        landmarks.append(
            {
                "name": printable(prediction.names[i]),
                "missing": missing,
                "x": rounded(prediction.points[i, 0], 3),
                "y": rounded(prediction.points[i, 1], 3),
                "x_mm": rounded(points_mm[i, 0], 3),
                "y_mm": rounded(points_mm[i, 1], 3),
                "lps_mm": None if None in position else position,
                "similarity": rounded(prediction.similarity[i], 4),
                "back_match_error_px": rounded(prediction.back_match_error[i], 3),
                "spread_px": rounded(prediction.spread[i], 3),
                "spread_mm": rounded(prediction.spread[i] * mm_a_pixel, 3),
                "expected_error_px": rounded(prediction.expected_error[i], 3),
                "expected_error_mm": rounded(prediction.expected_error[i] * mm_a_pixel, 3),
                "confidence": rounded(prediction.confidence[i], 4),
            }
        )
    return {
        "schema": SCHEMA,
        "image": printable(prediction.path.name),
        "image_id": printable(prediction.image_id),
        "width": int(prediction.width),
        "height": int(prediction.height),
        "pixel_spacing_mm": None if spacing is None else [rounded(value, 6) for value in spacing],
        "spacing_source": None if prediction.spacing_source is None else printable(prediction.spacing_source),
        "landmarks": landmarks,
        "measurements": [_measurement(value) for value in prediction.measurements],
    }


def _measurement(value: MeasuredValue) -> dict[str, Any]:
    return {
        "name": printable(value.name),
        "title": printable(value.title),
        "unit": value.unit,
        "value": rounded(value.value, 4),
        "uncertainty": rounded(value.uncertainty, 4),
        "normal_range": None if value.normal_range is None else list(value.normal_range),
        "normal": value.normal,
        "class": None if value.category is None else printable(value.category),
        "note": None if value.note is None else printable(value.note),
    }


class ResultJsonWriter:
    """Writes ``<image_id>.json``.

    Args:
        folder: the folder of the results.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def __call__(self, prediction: LandmarkPrediction) -> Path:
        """Write the result of one image, a landmark and a measurement a line.

        Args:
            prediction: the landmarks of one image.

        Returns:
            The file.

        Raises:
            BundleError: when the image id cannot be a file name, or the file cannot be written.
        """
        path = output_path(self.folder, prediction.image_id, ".json")
        document = result_document(prediction)
        lists = [(key, document.pop(key)) for key in ("landmarks", "measurements")]
        head = [f"  {_dumps(key)}: {_dumps(value)}" for key, value in document.items()]
        text = ",\n".join([*head, *(_listed(key, entries) for key, entries in lists)])
        text = f"{{\n{text}\n}}\n"
        with atomic_file(path) as file:
            file.write(text)
        return path


def _listed(key: str, entries: list[dict[str, Any]]) -> str:
    """A list of the document, an entry a line."""
    body = ",\n".join(f"    {_dumps(entry)}" for entry in entries)
    return f"  {_dumps(key)}: [\n{body}\n  ]" if entries else f"  {_dumps(key)}: []"


def _dumps(value: Any) -> str:
    """JSON on one line that refuses numbers that are not finite."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
