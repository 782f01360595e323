"""All logs of a run as one handler."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine

from bundle.errors import ConfigError
from bundle.handlers.mlflow_log import MlflowLog
from bundle.handlers.tensorboard_log import TensorBoardLog
from bundle.ranks import is_first
from bundle.report import ReportFigure

#: The logs that there are.
LOGS = ("tensorboard", "mlflow")


class ExperimentLogs:
    """Logs an engine's metrics after each epoch, its output after each iteration, and the report of a run.

    Of several ranks, rank 0 logs: metrics are those of all ranks, a loss is its own.

    Args:
        log_to: which logs: None, ``"tensorboard"``, ``"mlflow"`` or a list of them.
        folder: where TensorBoard's files are written.
        run_name: name of the run in MLflow.
        uri: MLflow's tracking server or database; None for its default (see :class:`MlflowLog`).
        experiment: name of the experiment in MLflow.
        parameters: settings of the run for MLflow, of any depth.
        output_transform: what to log of an engine's output after each iteration; None for nothing.
        tag: the name of that.

    Raises:
        ConfigError: when ``log_to`` names something else, or MLflow is asked for and cannot be used.
    """

    def __init__(
        self,
        log_to: str | Sequence[str] | None,
        folder: str | Path,
        run_name: str,
        uri: str | None = None,
        experiment: str = "one-shot-landmarks",
        parameters: Mapping[str, Any] | None = None,
        output_transform: Callable[[Any], Any] | None = None,
        tag: str = "loss",
    ) -> None:
        several = [log_to] if isinstance(log_to, str) else [] if log_to is None else log_to
        if not isinstance(several, Sequence) or any(name not in LOGS for name in several):
            raise ConfigError(
                f"log_to is {log_to!r}, expected null, {' or '.join(map(repr, LOGS))}, or a list of them."
            )
        self.logs: list[TensorBoardLog | MlflowLog] = []
        if is_first() and "tensorboard" in several:
            self.logs.append(TensorBoardLog(folder, output_transform, tag))
        if is_first() and "mlflow" in several:
            self.logs.append(MlflowLog(uri, experiment, run_name, parameters or {}, output_transform, tag))

    def attach(self, engine: Engine) -> None:
        """Attach to an engine."""
        for log in self.logs:
            log.attach(engine)

    def log_report(self, page: Path, figures: Sequence[ReportFigure]) -> None:
        """Log the report of a run.

        Args:
            page: the file.
            figures: its figures.
        """
        for log in self.logs:
            log.log_report(page, figures)

    def close_after(self, finish: Callable[[], None]) -> None:
        """Call what ends a run, and then end the logs, also where that ends the program because some files failed."""
        try:
            finish()
        except SystemExit:
            self.close()
            raise
        self.close()

    def close(self) -> None:
        """End the logs; the run is complete."""
        for log in self.logs:
            log.close()
