"""Measurements between landmarks: definitions from a JSON file, values with their uncertainty."""

from bundle.measurements.definition_file import read_measurements
from bundle.measurements.plan import MeasurementPlan

__all__ = ["MeasurementPlan", "read_measurements"]
