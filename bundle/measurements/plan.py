"""Measurements of one image from its landmarks, by the definitions of a JSON file."""

from __future__ import annotations

import graphlib
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, ConfigDict, Field, ValidationInfo, model_validator

from bundle.errors import ConfigError
from bundle.measurements.kinds import (
    AnyKind,
    Known,
    Landmark,
    Measurement,
    Points,
    Text,
    Unmeasurable,
    standard_deviation,
)
from bundle.records.prediction import LandmarkPrediction, MeasuredValue
from bundle.records.validation import Items, Validated, parse_json, shown, validate

#: Standard deviation along each axis of an error whose mean distance is 1: an isotropic normal distribution of
#: deviation s has the mean distance s * sqrt(pi / 2).
DEVIATION_OF_MEAN_DISTANCE = math.sqrt(2 / math.pi)


def unit_of(measurement: Measurement, by_name: Mapping[str, Measurement]) -> str:
    """The unit of a measurement's value by UCUM, given all measurements by name."""
    return measurement.own_unit or unit_of(by_name[measurement.parts()[0]], by_name)


@dataclass(frozen=True)
class MeasurementPlan:
    """All measurements of a run.

    Attributes:
        definitions: in the order of the file; none is computed from itself, not even through others.
        names: the landmarks that the definitions' indices count, in the template's order.
        digest: SHA-256 of the file's text.
    """

    definitions: tuple[Measurement, ...]
    names: tuple[str, ...]
    digest: str

    @cached_property
    def _by_name(self) -> dict[str, Measurement]:
        return {definition.name: definition for definition in self.definitions}

    def measure(self, prediction: LandmarkPrediction) -> tuple[MeasuredValue, ...]:
        """Measure one image.

        Points are taken in mm where the spacing is known. Where it is not, only the proportion of a pixel's
        sides counts: angles and ratios have values, lengths have none.

        Args:
            prediction: the landmarks of the image, in the order of :attr:`names`.

        Returns:
            A value for each definition that is not hidden, in the order of the file; without a number, and with a note
            that says why, where a landmark is missing, the spacing is unknown, or the points do not allow it; none for
            an image that is probably of another kind.
        """
        if prediction.pose.other_kind:
            return ()
        points = Points(prediction.points * prediction.pixel_size, self.names)
        error = prediction.expected_error[:, None] * DEVIATION_OF_MEAN_DISTANCE * prediction.pixel_size

        def part(name: str) -> np.ndarray:
            return self._by_name[name].evaluate(points, part)

        values = []
        for definition in self.definitions:
            if definition.hidden:
                continue
            unit, value, uncertainty, note = unit_of(definition, self._by_name), math.nan, math.nan, None
            try:
                copies = part(definition.name)
                if unit == "mm" and prediction.spacing is None:
                    raise Unmeasurable("the pixel spacing is unknown")
                value, uncertainty = float(copies[0]), standard_deviation(copies, error)
            except Unmeasurable as reason:
                note = str(reason)
            values.append(
                MeasuredValue(
                    name=definition.name,
                    title=definition.title or definition.name,
                    unit=unit,
                    value=value,
                    uncertainty=uncertainty,
                    normal_range=definition.normal_range,
                    category=next((one.label for one in definition.classes if one.holds(value)), None),
                    note=note,
                    segments=self._segments(definition),
                    decimals=(3 if unit == "1" else 1) if definition.decimals is None else definition.decimals,
                )
            )
        return tuple(values)

    def _segments(self, definition: Measurement) -> tuple[tuple[int, int], ...]:
        """The lines of a measurement, or else of those that it is computed from."""
        below = [segment for name in definition.parts() for segment in self._segments(self._by_name[name])]
        return tuple(dict.fromkeys((*definition.segments(), *below)))


def _belongs(count: int, info: ValidationInfo[Known]) -> int:
    expected = 1 + max(info.context.values())
    if count != expected:
        raise ValueError(f"{expected}, the number of landmarks of the template")
    return count


def _short_names(own: dict[str, int], info: ValidationInfo[Known]) -> dict[str, int]:
    """Let the definitions, which come later in the model, use the file's own names of landmarks."""
    for short, index in own.items():
        if info.context.setdefault(short, index) != index:
            raise ValueError(f"{shown(short)} to mean the template's landmark of this name")
    return own


class MeasurementFile(Validated):
    """Definitions of measurements between landmarks. docs/formats.md says what each kind means.

    Landmarks are named by the template's names, by short names under ``landmarks``, or by numbers counted from 0.
    """

    model_config = ConfigDict(json_schema_extra={"$id": "urn:one-shot-landmarks:measurements:1"})

    format: Literal["one-shot-landmarks/measurements/1"] = Field(alias="schema")
    title: Text | None = None
    source: Text = Field("", description="Where the definitions come from.")
    landmark_count: Annotated[int, Field(ge=1), AfterValidator(_belongs)] | None = Field(
        None, description="Landmarks that the template must have."
    )
    landmarks: Annotated[dict[str, Landmark], AfterValidator(_short_names)] = Field(
        default_factory=dict, description="Short names for landmarks of the template."
    )
    measurements: Annotated[Items[AnyKind], Field(min_length=1, max_length=1000)]

    @model_validator(mode="after")
    def _fit_together(self) -> MeasurementFile:
        by_name = {one.name: one for one in self.measurements}
        if len(by_name) < len(self.measurements):
            names = [one.name for one in self.measurements]
            twice = next(name for name in names if names.count(name) > 1)
            raise ConfigError(f"the measurement {shown(twice)} is defined twice: make the names differ.")
        for one in self.measurements:
            for part in one.parts():
                if part not in by_name:
                    raise ConfigError(f"{shown(one.name)} needs the measurement {shown(part)}: define it.")
        try:
            graphlib.TopologicalSorter({one.name: one.parts() for one in self.measurements}).prepare()
        except graphlib.CycleError as error:
            circle = ", ".join(shown(name) for name in error.args[1][:-1])
            raise ConfigError(f"the measurements {circle} are computed from each other: cut the circle.") from None
        for one in self.measurements:
            found = sorted({unit_of(by_name[part], by_name) for part in one.parts()})
            if len(found) > 1:
                raise ConfigError(f"{shown(one.name)} mixes {' and '.join(found)}: use measurements of one unit.")
            unit = unit_of(one, by_name)
            if one.unit not in (None, unit):
                raise ConfigError(
                    f"{shown(one.name)} has the unit {one.unit!r}, but its kind is in {unit!r}: leave the unit out."
                )
        return self


def read_measurements(path: str | Path, names: Sequence[str]) -> MeasurementPlan:
    """Read the definitions of measurements.

    docs/formats.md describes the file, docs/schema/measurements-1.schema.json is its JSON Schema.

    Args:
        path: the file.
        names: the landmarks of the template, in its order, to which the file's names and numbers are bound.

    Returns:
        The measurements.

    Raises:
        ConfigError: when the file cannot be read or breaks a rule, or names a landmark that the template does not
            have; the message names the file and the measurement.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is no UTF-8 text" if isinstance(error, ValueError) else error.strerror or error
        raise ConfigError(
            f"measurements is {str(path)!r}, which cannot be read ({reason}): give a JSON file as docs/formats.md "
            "describes it."
        ) from None
    document = parse_json(text, str(path), ConfigError)
    known: Known = {reference: index for index, name in enumerate(names) for reference in (name, index)}
    file = validate(MeasurementFile, document, str(path), context=known)
    return MeasurementPlan(file.measurements, tuple(names), hashlib.sha256(text.encode()).hexdigest())
