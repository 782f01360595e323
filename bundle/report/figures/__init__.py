"""The figures of a report: records to drawings."""

from bundle.report.figures.box_plot import box_plot
from bundle.report.figures.calibration import calibration_plot
from bundle.report.figures.confidence_bars import confidence_bars
from bundle.report.figures.detection_curve import detection_curve_plot
from bundle.report.figures.figure import Figure
from bundle.report.figures.risk_plot import risk_plot
from bundle.report.figures.shape_plot import shape_plot

__all__ = [
    "Figure",
    "box_plot",
    "calibration_plot",
    "confidence_bars",
    "detection_curve_plot",
    "risk_plot",
    "shape_plot",
]
