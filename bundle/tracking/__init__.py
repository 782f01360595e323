"""Experiment tracking: metrics, losses and reports in the logs that users already look at."""

from bundle.tracking.experiment_logs import ExperimentLogs

__all__ = ["ExperimentLogs"]
