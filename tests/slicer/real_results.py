"""The product's own files for one image, as the server sends them."""

from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import numpy as np

from bundle.records.prediction import LandmarkPrediction
from bundle.writers.result_json import result_document
from bundle.writers.slicer_markups import markups_document


def prediction(folder: Path) -> dict[str, Any]:
    """A result with one landmark that was found and one that was not, and its point list."""
    known: dict[str, Any] = {
        "image_id": "001",
        "path": folder / "001.png",
        "names": ("sella", "nasion"),
        "points": np.array([[10.5, 20.25], [np.nan, np.nan]]),
        "confidence": np.array([0.87, np.nan]),
        "width": 40,
        "height": 50,
        "spacing": (0.1, 0.1),
        "spacing_source": "config",
        "pixel_to_lps": np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]),
    }
    needed = [field.name for field in fields(LandmarkPrediction) if field.default is field.default_factory is MISSING]
    rest = {name: np.array([1.0, np.nan]) for name in needed if name not in known}
    found = LandmarkPrediction(**known, **rest)
    return {"result": result_document(found), "markups": markups_document(found)}
