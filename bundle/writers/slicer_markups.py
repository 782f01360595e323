"""The landmarks of one image as a point list of 3D Slicer."""

import json
from typing import Any

import numpy as np

from bundle.records.landmarks import LandmarkSet
from bundle.records.prediction import LandmarkPrediction, annotated
from bundle.records.radiograph import Radiograph
from bundle.writers.files import printable

#: The published schema of 3D Slicer that the files follow.
MARKUPS_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)

_DISPLAY = {
    "visibility": True,
    "opacity": 1.0,
    "color": [0.4, 1.0, 1.0],
    "selectedColor": [1.0, 0.85, 0.2],
    "activeColor": [0.4, 1.0, 0.0],
    "propertiesLabelVisibility": False,
    "pointLabelsVisibility": True,
    "textScale": 2.5,
    "glyphType": "StarBurst2D",
    "glyphScale": 1.5,
    "useGlyphScale": True,
    "snapMode": "unconstrained",
}

#: What the name of a list says of lengths in 3D Slicer, by the unit of its coordinates.
_LENGTHS = {"mm": "", "pixel": " (lengths in pixels, not mm)", None: " (lengths are not mm)"}


def markups_document(prediction: LandmarkPrediction) -> dict[str, Any]:
    """The landmarks of one image as a markups document.

    Args:
        prediction: the landmarks of one image.

    Returns:
        One point list in LPS, 6 decimals: the label is the name, the description says how sure the point is; a landmark
        without coordinates has the position status ``undefined``. The points can be moved in 3D Slicer. The format
        knows millimetres only, so where lengths are none, the name of the list, which 3D Slicer shows, says so.
    """
    controls = []
    for i, (name, position) in enumerate(zip(prediction.names, prediction.lps)):
        defined = bool(np.isfinite(position).all())
        controls.append(
            {
                "id": str(i + 1),
                "label": printable(name),
                "description": _description(prediction, i) if defined else "not found",
                "associatedNodeID": "",
                "position": [round(float(value), 6) + 0.0 for value in position] if defined else [0.0, 0.0, 0.0],
                "orientation": [-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0],
                "selected": True,
                "locked": False,
                "visibility": True,
                "positionStatus": "defined" if defined else "undefined",
            }
        )
    markup = {
        "type": "Fiducial",
        "name": printable(prediction.image_id) + _LENGTHS[prediction.lps_unit],
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "locked": False,
        "fixedNumberOfControlPoints": False,
        "labelFormat": "%N-%d",
        "lastUsedControlPointNumber": len(controls),
        "controlPoints": controls,
        "measurements": [],
        "display": _DISPLAY,
    }
    return {"@schema": MARKUPS_SCHEMA, "markups": [markup]}


def annotation_document(found: LandmarkSet, image: Radiograph, image_id: str) -> dict[str, Any]:
    """Landmarks that somebody placed as a markups document.

    Args:
        found: the landmarks, in pixels ``(x, y)``.
        image: the image that they belong to.
        image_id: what it is called.
    """
    return markups_document(annotated(found.names, found.points, image, image_id))


def markups_json(prediction: LandmarkPrediction) -> str:
    """The text of ``<image_id>.mrk.json``."""
    return json.dumps(markups_document(prediction), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _description(prediction: LandmarkPrediction, i: int) -> str:
    """How sure landmark ``i`` is, in words; what is not known is left out."""
    error, scale = prediction.expected_error[i], prediction.mm_per_pixel
    values = {
        "confidence": (prediction.confidence[i], ".2f", ""),
        "expected error": (error, ".1f", " px") if np.isnan(scale) else (error * scale, ".2f", " mm"),
        "similarity": (prediction.similarity[i], ".2f", ""),
        "back-match error": (prediction.back_match_error[i], ".1f", " px"),
        "spread": (prediction.spread[i], ".1f", " px"),
    }
    return ", ".join(f"{key} {value:{form}}{unit}" for key, (value, form, unit) in values.items() if np.isfinite(value))
