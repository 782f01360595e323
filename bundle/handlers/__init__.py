"""Handlers: what engines show, log and write."""

from bundle.handlers.evaluation_saver import EvaluationSaver
from bundle.handlers.experiment_logs import ExperimentLogs
from bundle.handlers.prediction_saver import PredictionSaver
from bundle.handlers.run_saver import ImageProgress

__all__ = ["EvaluationSaver", "ExperimentLogs", "ImageProgress", "PredictionSaver"]
