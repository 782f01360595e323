"""How far the model's points are from the saved annotations."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from monailabel.interfaces.tasks.scoring import ScoringMethod

from bundle.errors import BundleError, ConfigError
from bundle.io.overwriting import file_digest
from bundle.metrics.error_summary import CEPHALOMETRIC_RADII, LandmarkErrors, detection_rate, mean
from bundle.metrics.landmark_metrics import landmark_errors
from label_server.datastore import StudyDatastore
from label_server.predictor import Predictor
from study.annotations import AnnotatedImage


class RadialErrorScoring(ScoringMethod):
    """Mean radial error and successful detection rate of the present model on the annotated images.

    The template itself is left out: its points are known to the model.

    Args:
        predictor: the bundle, held open.
    """

    def __init__(self, predictor: Predictor) -> None:
        super().__init__("Mean radial error and successful detection rate against the saved annotations")
        self.predictor = predictor

    def __call__(self, request: Mapping[str, Any], datastore: StudyDatastore) -> dict[str, Any]:
        """Measure.

        Args:
            request: ``radii``, the radii of the detection rate in mm.
            datastore: the study.

        Returns:
            ``images``, how many were measured; ``mre_px``, and where the size of a pixel is known ``mre_mm`` and
            ``sdr`` (per cent by radius in mm); ``landmarks`` and ``cases``, the same means for each; ``left_out``, the
            reason for each annotated image that was not measured. None stands for what cannot be known.

        Raises:
            ConfigError: when ``radii`` are no positive numbers.
            BundleError: when nothing is annotated and there is no model.
        """
        radii = _read_radii(request.get("radii", CEPHALOMETRIC_RADII))
        opened = self.predictor.in_turn(self.predictor.opened)
        templates = {template.digest for template in opened.model.template.all}
        rows: dict[str, LandmarkErrors] = {}
        left_out: dict[str, str] = {}
        for case in datastore.annotated():
            if file_digest(case.image) in templates:
                left_out[case.image_id] = "it is the template"
                continue
            try:
                rows[case.image_id] = self._measure(case, opened.names)
            except BundleError as error:
                left_out[case.image_id] = str(error)
        report: dict[str, Any] = {"images": len(rows), "left_out": left_out}
        if not rows:
            return {**report, "mre_px": None, "mre_mm": None, "sdr": None, "landmarks": {}, "cases": {}}
        px, mm = (np.concatenate([getattr(row, unit) for row in rows.values()]) for unit in ("px", "mm"))
        rates = dict(zip((f"{radius:g}" for radius in radii), map(_number, detection_rate(mm, radii))))
        report |= {"mre_px": _number(mean(px)), "mre_mm": _number(mean(mm))}
        report["sdr"] = rates if np.isfinite(mm).any() else None
        for key, names, by_px, by_mm in (("landmarks", opened.names, px.T, mm.T), ("cases", rows, px, mm)):
            rows_of = zip(names, by_px, by_mm)
            report[key] = {name: {"mre_px": _number(mean(p)), "mre_mm": _number(mean(m))} for name, p, m in rows_of}
        return report

    def _measure(self, case: AnnotatedImage, names: tuple[str, ...]) -> LandmarkErrors:
        """Distances of one image; NaN where there is no truth or no spacing."""
        truth = case.landmarks()
        if set(truth.names) != set(names):
            raise BundleError("its landmarks are not those of the model: train again, or correct its names.")
        found = self.predictor.predict(case.image, case.image_id)
        order = [truth.names.index(name) for name in names]
        return landmark_errors([found], truth.points[order][None], names)


def _read_radii(value: Any) -> tuple[float, ...]:
    numbers = list(value) if isinstance(value, list | tuple) else []
    if not numbers or not all(isinstance(n, int | float) and not isinstance(n, bool) and n > 0 for n in numbers):
        raise ConfigError(f"radii is {value!r}, expected a list of positive distances in mm, such as [2, 2.5, 3, 4].")
    return tuple(float(number) for number in numbers)


def _number(value: float) -> float | None:
    return round(float(value), 4) if math.isfinite(value) else None
