"""Measurements of one image from its landmarks, by definitions that were read before."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bundle.measurements.kinds import UNITS, Measurement
from bundle.measurements.quantity import Quantity, Unmeasurable
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
        title: what they are about.
        source: where the definitions come from, such as a paper.
        definitions: in the order of the file; none is computed from itself, not even through others.
        names: the landmarks that the definitions' indices count, in the template's order.
        digest: SHA-256 of the file.
    """

    title: str
    source: str
    definitions: tuple[Measurement, ...]
    names: tuple[str, ...]
    digest: str

    @property
    def reported(self) -> tuple[Measurement, ...]:
        """The definitions that are not hidden."""
        return tuple(definition for definition in self.definitions if not definition.hidden)

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
            A value for each definition that is reported, in the order of the file; without a number, and with a note
            that says why, where a landmark is missing, the spacing is unknown, or the points do not allow it; none for
            an image that is probably of another kind.
        """
        if prediction.pose.other_kind:
            return ()
        points, deviations = self._geometry(prediction.points, prediction.expected_error, prediction.pixel_size)
        found: dict[str, Quantity | Unmeasurable] = {}

        def part(name: str) -> Quantity:
            if name not in found:
                try:
                    self._require_landmarks(self._by_name[name], points)
                    found[name] = self._by_name[name].evaluate(points, part)
                except Unmeasurable as reason:
                    found[name] = reason
            outcome = found[name]
            if isinstance(outcome, Unmeasurable):
                raise outcome
            return outcome

        values = []
        for definition in self.reported:
            try:
                quantity, note = part(definition.name), None
            except Unmeasurable as reason:
                quantity, note = None, str(reason)
            if note is None and dimension(definition, self._by_name) == "length" and prediction.spacing is None:
                note = "the pixel spacing is unknown"
            values.append(self._value(definition, None if note else quantity, deviations, note))
        return tuple(values)

    @staticmethod
    def _geometry(
        points: np.ndarray, expected_error: np.ndarray, pixel_size: Sequence[float]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Points and standard deviations of their coordinates, (N, 2) each, in mm where the spacing is known."""
        step = np.asarray(pixel_size, dtype=np.float64)
        deviation = np.asarray(expected_error, dtype=np.float64)[:, None] * DEVIATION_OF_MEAN_DISTANCE
        return np.asarray(points, dtype=np.float64) * step, deviation * step

    def _require_landmarks(self, measurement: Measurement, points: np.ndarray) -> None:
        for index in measurement.landmarks():
            if not np.isfinite(points[index]).all():
                raise Unmeasurable(f"landmark {self.names[index]} is missing")

    def _value(
        self, definition: Measurement, quantity: Quantity | None, deviations: np.ndarray, note: str | None
    ) -> MeasuredValue:
        kind = dimension(definition, self._by_name)
        value = uncertainty = math.nan
        held: list[str] = []
        if quantity is not None:
            value, uncertainty = quantity.value, quantity.standard_deviation(deviations)
            held = [category.label for category in definition.classes if category.holds(value)]
        return MeasuredValue(
            name=definition.name,
            title=definition.title or definition.name,
            unit=UNITS[kind],
            value=value,
            uncertainty=uncertainty,
            normal_range=definition.normal_range,
            category=held[0] if held else None,
            note=note,
            segments=self._segments(definition),
            decimals=(3 if kind == "number" else 1) if definition.decimals is None else definition.decimals,
        )

    def _segments(self, definition: Measurement) -> tuple[tuple[int, int], ...]:
        """The lines of a measurement, or else of those that it is computed from."""
        below = [segment for name in definition.parts() for segment in self._segments(self._by_name[name])]
        return tuple(dict.fromkeys((*definition.segments(), *below)))
