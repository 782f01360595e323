"""Measurements between landmarks: definitions from a JSON file, values with their uncertainty."""

from bundle.measurements.plan import MeasurementPlan, read_measurements
