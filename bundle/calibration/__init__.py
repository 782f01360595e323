"""Calibration: how far expected errors are right, learnt from images whose truth is known."""

from bundle.calibration.factors import error_factors
from bundle.calibration.measures import Calibration, cross_validated, interval_factor, risk_coverage

__all__ = ["Calibration", "cross_validated", "error_factors", "interval_factor", "risk_coverage"]
