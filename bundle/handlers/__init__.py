"""Handlers: what engines show, log and write."""

from bundle.handlers.logs import ExperimentLogs, ImageProgress
from bundle.handlers.savers import EvaluationSaver, PredictionSaver

__all__ = ["EvaluationSaver", "ExperimentLogs", "ImageProgress", "PredictionSaver"]
