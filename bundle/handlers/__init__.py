"""Handlers: what engines measure, show, log and write."""

from bundle.handlers.evaluation_saver import EvaluationSaver
from bundle.handlers.experiment_logs import ExperimentLogs
from bundle.handlers.landmark_metrics import (
    MeanRadialErrorHandler,
    SuccessfulDetectionRateHandler,
    detection_rate_handlers,
    lower_is_better,
)
from bundle.handlers.prediction_saver import PredictionSaver
from bundle.handlers.progress import ImageProgress
from bundle.handlers.report_saver import ReportSaver

__all__ = [
    "EvaluationSaver",
    "ExperimentLogs",
    "ImageProgress",
    "MeanRadialErrorHandler",
    "PredictionSaver",
    "ReportSaver",
    "SuccessfulDetectionRateHandler",
    "detection_rate_handlers",
    "lower_is_better",
]
