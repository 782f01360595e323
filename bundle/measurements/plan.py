"""Measurements of one image from its landmarks, by definitions that were read before."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bundle.measurements.kinds import UNITS, Measurement
from bundle.measurements.lines import Points, Unmeasurable, standard_deviation
from bundle.records.measured_value import MeasuredValue
from bundle.records.prediction import LandmarkPrediction

#: Standard deviation along each axis of an error whose mean distance is 1: an isotropic normal distribution of
#: deviation s has the mean distance s * sqrt(pi / 2).
DEVIATION_OF_MEAN_DISTANCE = math.sqrt(2 / math.pi)


def dimension(measurement: Measurement, by_name: Mapping[str, Measurement]) -> str:
    """What a measurement's value is, one of :data:`UNITS`, given all measurements by name."""
    return measurement.dimension or dimension(by_name[measurement.parts()[0]], by_name)


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
            value, uncertainty, note = math.nan, math.nan, None
            try:
                copies = part(definition.name)
                if dimension(definition, self._by_name) == "length" and prediction.spacing is None:
                    raise Unmeasurable("the pixel spacing is unknown")
                value, uncertainty = float(copies[0]), standard_deviation(copies, error)
            except Unmeasurable as reason:
                note = str(reason)
            values.append(self._value(definition, value, uncertainty, note))
        return tuple(values)

    def _value(self, definition: Measurement, value: float, uncertainty: float, note: str | None) -> MeasuredValue:
        kind = dimension(definition, self._by_name)
        decimals = 3 if kind == "number" else 1
        return MeasuredValue(
            name=definition.name,
            title=definition.title or definition.name,
            unit=UNITS[kind],
            value=value,
            uncertainty=uncertainty,
            normal_range=definition.normal_range,
            category=next((one.label for one in definition.classes if one.holds(value)), None),
            note=note,
            segments=self._segments(definition),
            decimals=decimals if definition.decimals is None else definition.decimals,
        )

    def _segments(self, definition: Measurement) -> tuple[tuple[int, int], ...]:
        """The lines of a measurement, or else of those that it is computed from."""
        below = [segment for name in definition.parts() for segment in self._segments(self._by_name[name])]
        return tuple(dict.fromkeys((*definition.segments(), *below)))
