"""How far the model's points are from the saved annotations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from monailabel.interfaces.tasks.scoring import ScoringMethod

from bundle.errors import BundleError, ConfigError
from bundle.io.overwriting import file_digest
from bundle.metrics.detection_rate import CEPHALOMETRIC_RADII, SuccessfulDetectionRateMetric
from bundle.metrics.mean_radial_error import MeanRadialErrorMetric
from bundle.metrics.radial_error import radial_error
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
        rows: dict[str, dict[str, torch.Tensor]] = {}
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
        px = torch.stack([row["px"] for row in rows.values()])
        mm = torch.stack([row["mm"] for row in rows.values()])
        report |= {"mre_px": _number(_mean(px)), "mre_mm": _number(_mean(mm)), "sdr": _rates(mm, radii)}
        by_name = zip(opened.names, _mean(px, "mean_batch"), _mean(mm, "mean_batch"))
        report["landmarks"] = {name: {"mre_px": _number(p), "mre_mm": _number(m)} for name, p, m in by_name}
        by_case = zip(rows, _mean(px, "mean_channel"), _mean(mm, "mean_channel"))
        report["cases"] = {name: {"mre_px": _number(p), "mre_mm": _number(m)} for name, p, m in by_case}
        return report

    def _measure(self, case: AnnotatedImage, names: tuple[str, ...]) -> dict[str, torch.Tensor]:
        """Distances of one image, (N,) in pixels and in mm; NaN where there is no truth or no spacing."""
        truth = case.landmarks()
        if set(truth.names) != set(names):
            raise BundleError("its landmarks are not those of the model: train again, or correct its names.")
        found = self.predictor.predict(case.image, case.image_id)
        order = [truth.names.index(name) for name in names]
        y_pred, y = (torch.from_numpy(found.points)[None], torch.from_numpy(truth.points[order])[None])
        spacing = torch.tensor([found.spacing or (math.nan, math.nan)], dtype=torch.float64)
        return {"px": radial_error(y_pred, y)[0], "mm": radial_error(y_pred, y, spacing)[0]}


def _read_radii(value: Any) -> tuple[float, ...]:
    numbers = list(value) if isinstance(value, list | tuple) else []
    if not numbers or not all(isinstance(n, int | float) and not isinstance(n, bool) and n > 0 for n in numbers):
        raise ConfigError(f"radii is {value!r}, expected a list of positive distances in mm, such as [2, 2.5, 3, 4].")
    return tuple(float(number) for number in numbers)


def _mean(errors: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
    metric = MeanRadialErrorMetric()
    metric.add_errors(errors)
    return metric.aggregate(reduction)  # type: ignore[return-value]


def _rates(errors: torch.Tensor, radii: tuple[float, ...]) -> dict[str, float | None] | None:
    if not errors.isfinite().any():
        return None
    metric = SuccessfulDetectionRateMetric(radii)
    metric.add_errors(errors)
    return {f"{radius:g}": _number(rate) for radius, rate in zip(radii, metric.aggregate())}


def _number(value: torch.Tensor) -> float | None:
    return round(float(value), 4) if bool(value.isfinite()) else None
