"""The record of one image: ``<image_id>.json``, which is written once and read by all that needs to know of it.

Its JSON Schema, docs/schema/result-3.schema.json, is made from the models here.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import ConfigDict, Field

from bundle.records.prediction import LandmarkPrediction, MeasuredValue, Pose
from bundle.records.validation import Items, Pair, Validated
from bundle.writers.files import json_lines, json_values, rounded

#: Name and version of the schema; the version changes when a reader of the old one would stumble.
SCHEMA = "one-shot-landmarks/result/3"

_COLUMNS = ("x", "y", "similarity", "back_match_error_px", "spread_px", "confidence", "expected_error_px")

Text = Annotated[str, Field(min_length=1)]
Length = Annotated[float, Field(ge=0)] | None
Triple = Annotated[Items[float], Field(min_length=3, max_length=3)]


class ImagePose(Validated):
    """How an image lies beside the template, and whether it is of its kind."""

    turn: float = Field(description="Degrees by which its anatomy is turned, counter-clockwise, -180 to 180.")
    side: Literal["template", "mirrored"] = Field(description="mirrored where it shows the other side.")
    inverted: bool = Field(description="Whether it is a negative of the template.")
    scale: Annotated[float, Field(gt=0)] = Field(description="Size of its anatomy beside the template's.")
    distortion: Annotated[float, Field(ge=1)] = Field(
        description="The largest over the smallest factor by which it changes lengths of the template; 1 for none."
    )
    changed: bool = Field(description="Whether the image was brought to the template's frame before the matching.")
    kind: Literal["template", "other"] | None = Field(
        description="other where the image is probably of another kind than the template; null where nobody looked."
    )
    kind_confidence: Annotated[float, Field(ge=0, le=1)] | None = Field(
        description="How sure it is that the image is of the template's kind, below 0.5 probably of another; null "
        "where nobody looked."
    )


class FoundLandmark(Validated):
    """One landmark of the image."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"missing": {"const": True}}},
            "then": {"properties": {"x": {"const": None}, "y": {"const": None}}},
            "else": {"properties": {"x": {"type": "number"}, "y": {"type": "number"}}},
        }
    )

    name: Text = Field(description="Name of the landmark, as in the template.")
    missing: bool = Field(description="Whether the landmark is reported as missing: then it has no coordinates.")
    missing_probability: Annotated[float, Field(ge=0, le=1)] | None = Field(
        description="Probability that the landmark lies outside the image; null where nobody looked."
    )
    x: float | None = Field(description="Column in pixels of the full image.")
    y: float | None = Field(description="Row in pixels of the full image.")
    x_mm: float | None = Field(description="x in mm from the centre of the first pixel; null where unknown.")
    y_mm: float | None = Field(description="y in mm from the centre of the first pixel; null where unknown.")
    lps: Triple | None = Field(
        description="Position in LPS (left, posterior, superior), in the unit lps_unit of the file, at which 3D Slicer "
        "shows the point on the image file."
    )
    similarity: Annotated[float, Field(ge=-1, le=1)] | None = Field(
        description="Cosine similarity between the landmark in the template and the place found."
    )
    back_match_error_px: Length = Field(
        description="Distance in pixels of the template between the landmark and the place on the template to which "
        "the place found matches back."
    )
    spread_px: Length = Field(description="Root mean square radius in pixels of the distribution around the place.")
    spread_mm: Length = Field(description="The same radius in mm; null where the spacing is unknown.")
    expected_error_px: Length = Field(
        description="Calibrated expectation of the distance in pixels between the place found and the true place; null "
        "where the model has no calibration."
    )
    expected_error_mm: Length = Field(description="The same distance in mm; null where the spacing is unknown.")
    confidence: Annotated[float, Field(ge=0, le=1)] | None = Field(
        description="How sure the place is, from 0 (not at all) to 1."
    )


class Measurement(Validated):
    """What was measured between the landmarks."""

    name: Text = Field(description="Short name, such as ANB.")
    title: str = Field(description="The name in words.")
    unit: Literal["mm", "deg", "1"] = Field(
        description="Unit of value, uncertainty and normal range by UCUM: millimetre, degree, or 1 for a ratio."
    )
    value: float | None = Field(description="The value; null where it cannot be had.")
    uncertainty: Length = Field(
        description="Standard deviation of the value by first-order propagation of the landmarks' expected errors; "
        "null where these are not known."
    )
    normal_range: Pair[float | None] | None = Field(
        description="Lowest and highest normal value, null for an open end; null where none is defined."
    )
    normal: bool | None = Field(description="Whether the value lies in the normal range, its ends included.")
    category: str | None = Field(alias="class", description="The class that the value falls into.")
    note: str | None = Field(description="Why there is no value; null where there is one.")
    decimals: Annotated[int, Field(ge=0)] = Field(description="How many decimals people are shown.")


class ResultFile(Validated):
    """Landmarks found in one radiograph, one file <image_id>.json for each.

    Pixels are (x, y) = (column, row), 0-based, with pixel centres at integers. null stands for what is not known.
    """

    model_config = ConfigDict(json_schema_extra={"$id": "urn:one-shot-landmarks:result:3"})

    format: Literal["one-shot-landmarks/result/3"] = Field(alias="schema", description="Name and version of the form.")
    image: Text = Field(description="File name of the image, without its folder.")
    image_id: Text = Field(description="Name of the image within its run, unique there; the stem of its files.")
    width: Annotated[int, Field(ge=1)] = Field(description="Columns of the image.")
    height: Annotated[int, Field(ge=1)] = Field(description="Rows of the image.")
    pixel_spacing_mm: Pair[Annotated[float, Field(gt=0)]] | None = Field(
        description="Millimetres per pixel as [x, y] = [between columns, between rows]; null where unknown."
    )
    spacing_source: str | None = Field(
        description="The rule that gave the spacing, such as the DICOM attribute; null where the spacing is unknown."
    )
    pixel_aspect: Annotated[float, Field(gt=0)] = Field(description="Height of a pixel over its width.")
    pose: ImagePose = Field(
        description="How the image lies beside the template. Coordinates are those of the image as it is in the file."
    )
    lps_unit: Literal["mm", "pixel"] | None = Field(
        description="Unit of lps: mm where lengths there are those of the pixel spacing; pixel where one pixel is one "
        "unit, as of a file without geometry; null where it is another, unknown one."
    )
    pixel_to_lps: Annotated[Items[Triple], Field(min_length=3, max_length=3)] | None = Field(
        description="Matrix, row by row, that takes (x, y, 1) in pixels to lps; null where the file has no usable one."
    )
    landmarks: Annotated[list[FoundLandmark], Field(min_length=1, description="In the order of the template.")]
    measurements: list[Measurement] = Field(description="In the order of the definitions; empty where none were given.")


def result_document(prediction: LandmarkPrediction) -> dict[str, Any]:
    """The record of one image as values of JSON: pixels and mm with 3 decimals, the rest with 4 and more.

    It names the image file without its folder.
    """
    unknown = np.full((len(prediction.names), 2), np.nan)
    places_mm = unknown if prediction.points_mm is None else prediction.points_mm
    scale, absent, landmarks = prediction.mm_per_pixel, prediction.missing, []
    for i, (point, place_mm, lps) in enumerate(zip(prediction.points, places_mm, prediction.lps)):
        missing = not np.isfinite(point).all()
        spread, expected = prediction.spread[i], prediction.expected_error[i]
        landmarks.append(
            {
                "name": prediction.names[i],
                "missing": missing,
                "missing_probability": None if absent is None else rounded(absent[i], 4),
                "x": rounded(point[0], 3),
                "y": rounded(point[1], 3),
                "x_mm": rounded(place_mm[0], 3),
                "y_mm": rounded(place_mm[1], 3),
                "lps": [rounded(value, 4) for value in lps] if np.isfinite(lps).all() else None,
                "similarity": rounded(prediction.similarity[i], 4),
                "back_match_error_px": rounded(prediction.back_match_error[i], 3),
                "spread_px": rounded(spread, 3),
                "spread_mm": rounded(spread * scale, 3),
                "expected_error_px": rounded(expected, 3),
                "expected_error_mm": rounded(expected * scale, 3),
                "confidence": rounded(prediction.confidence[i], 4),
            }
        )
    spacing, pose = prediction.spacing, prediction.pose
    document = {
        "schema": SCHEMA,
        "image": prediction.path.name,
        "image_id": prediction.image_id,
        "width": prediction.width,
        "height": prediction.height,
        "pixel_spacing_mm": None if spacing is None else [rounded(value, 6) for value in spacing],
        "spacing_source": prediction.spacing_source,
        "pixel_aspect": rounded(prediction.pixel_size[1] / prediction.pixel_size[0], 6),
        "pose": {
            "turn": rounded(pose.turn, 2),
            "side": pose.side,
            "inverted": pose.inverted,
            "scale": rounded(pose.scale, 4),
            "distortion": rounded(pose.distortion, 4),
            "changed": pose.changed,
            "kind": pose.kind,
            "kind_confidence": rounded(pose.kind_confidence, 4),
        },
        "lps_unit": prediction.lps_unit,
        "pixel_to_lps": prediction.pixel_to_lps.tolist() if np.isfinite(prediction.pixel_to_lps).all() else None,
        "landmarks": landmarks,
        "measurements": [
            {
                "name": value.name,
                "title": value.title,
                "unit": value.unit,
                "value": rounded(value.value, 4),
                "uncertainty": rounded(value.uncertainty, 4),
                "normal_range": value.normal_range,
                "normal": value.normal,
                "class": value.category,
                "note": value.note,
                "decimals": value.decimals,
            }
            for value in prediction.measurements
        ],
    }
    return ResultFile.model_validate(json_values(document)).model_dump(mode="json", by_alias=True)


def result_json(prediction: LandmarkPrediction) -> str:
    """The text of ``<image_id>.json``, a landmark and a measurement a line."""
    return json_lines(result_document(prediction))


def read_result(document: Mapping[str, Any], path: Path) -> LandmarkPrediction:
    """What :func:`result_document` was made of, as exactly as it is written.

    Args:
        document: the document.
        path: the image file.

    Raises:
        pydantic.ValidationError: when it is no such document.
    """
    result = ResultFile.model_validate(document)
    columns: dict[str, Any] = {
        name: np.array([getattr(one, name) for one in result.landmarks], dtype=float)
        for name in (*_COLUMNS, "missing_probability")
    }
    absent = columns.pop("missing_probability")
    pose = result.pose.model_dump(exclude={"side", "kind"})
    return LandmarkPrediction(
        image_id=result.image_id,
        path=path,
        names=tuple(one.name for one in result.landmarks),
        points=np.stack([columns.pop("x"), columns.pop("y")], axis=1),
        **{name.removesuffix("_px"): values for name, values in columns.items()},
        width=result.width,
        height=result.height,
        spacing=result.pixel_spacing_mm,
        spacing_source=result.spacing_source,
        pixel_to_lps=np.full((3, 3), np.nan) if result.pixel_to_lps is None else np.array(result.pixel_to_lps),
        aspect=result.pixel_aspect,
        measurements=tuple(_measured(one) for one in result.measurements),
        missing=None if np.isnan(absent).all() else absent,
        pose=Pose(**_known(pose), mirrored=result.pose.side == "mirrored"),
    )


def as_written(prediction: LandmarkPrediction) -> LandmarkPrediction:
    """What is found, as exactly as it is written: what a run evaluates and puts into its tables."""
    return read_result(result_document(prediction), prediction.path)


def _measured(one: Measurement) -> MeasuredValue:
    values = one.model_dump(exclude={"normal", "value", "uncertainty"})
    return MeasuredValue(**values, **_known({"value": one.value, "uncertainty": one.uncertainty}))


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by name, of which null is NaN."""
    return {name: math.nan if value is None else value for name, value in values.items()}
