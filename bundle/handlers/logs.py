"""What is shown and logged of a run: its progress, and logs by MONAI's handlers for TensorBoard and MLflow."""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events
from monai.engines import Trainer
from monai.handlers import MLFlowHandler, TensorBoardStatsHandler
from torch.utils.tensorboard import SummaryWriter

from bundle.data.journal import Journal
from bundle.data.readable import Failures
from bundle.errors import ConfigError
from bundle.ranks import is_first
from bundle.records.console import progress
from bundle.report import ReportFigure
from bundle.report.page import settings_rows


class ImageProgress:
    """Shows how many of the run's files are done, and the time that remains.

    Rank 0 shows it for all ranks together: with each image of its own it looks at their journals. Files that could not
    be read count as done; those of the other ranks only when all is done.

    Args:
        journal: the images of the run, and what is done of them.
        failures: the files that could not be read.
        label: what the bar is called.
    """

    def __init__(self, journal: Journal, failures: Failures, label: str) -> None:
        self.journal = journal
        self.failures = failures
        self.label = label

    def attach(self, engine: Engine) -> None:
        """Attach to an engine, after what opens the journal."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._open)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._advance)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._close)

    def _open(self) -> None:
        total, done = len(self.journal.cases.items), self.journal.done
        self._bar = progress(total=total, initial=done, desc=self.label, unit="image", disable=not is_first())

    def _advance(self, engine: Engine) -> None:
        if is_first():
            new = engine.state.iteration if idist.get_world_size() == 1 else self.journal.count_new()
            self._bar.update(self.journal.done + new + len(self.failures) - self._bar.n)

    def _close(self) -> None:
        idist.barrier()  # the others' images belong to the bar
        self._bar.update(len(self.journal.cases.items) - self._bar.n)
        self._bar.close()


#: The logs that there are.
LOGS = ("tensorboard", "mlflow")

#: The longest value of a parameter that MLflow takes.
_MAX_VALUE = 6000


class ExperimentLogs:
    """Logs engines' metrics after each epoch, trainers' losses after each iteration, and the report of a run.

    The ``label`` of a trainer, where it has one, stands before the name of its loss. Nothing is written before an
    engine starts. Of several ranks, rank 0 logs: metrics are those of all ranks, a loss is its own. In MLflow, all logs
    of one name write into one run until one of them is closed, so that a training that was killed and started again has
    one run.

    Args:
        log_to: which logs: None, ``"tensorboard"``, ``"mlflow"`` or a list of them.
        folder: where TensorBoard's files are written.
        run_name: name of the run in MLflow.
        uri: MLflow's tracking server or database, such as ``sqlite:///mlruns.db``; None for MLflow's environment
            variable ``MLFLOW_TRACKING_URI``, or else a database in the current folder.
        experiment: name of the experiment in MLflow.
        parameters: settings of the run for MLflow, of any depth.

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
    ) -> None:
        several = [log_to] if isinstance(log_to, str) else [] if log_to is None else log_to
        if not isinstance(several, Sequence) or any(name not in LOGS for name in several):
            raise ConfigError(
                f"log_to is {log_to!r}, expected null, {' or '.join(map(repr, LOGS))}, or a list of them."
            )
        if "mlflow" in several and importlib.util.find_spec("mlflow") is None:
            raise ConfigError(
                "log_to names 'mlflow', but the package is not installed: run pip install -r requirements-mlflow.txt "
                "-c constraints.txt, or leave it out."
            )
        if "mlflow" in several and uri is not None and ("://" not in uri or uri.startswith("file:")):
            raise ConfigError(
                f"mlflow_uri is {uri!r}, which MLflow does not take as a store: give sqlite:///FILE or the address "
                "of a server."
            )
        self.log_to = several if is_first() else []
        self.folder = folder
        self.mlflow: dict[str, Any] = {"tracking_uri": uri, "experiment_name": experiment, "run_name": run_name}
        self.parameters = parameters or {}
        self._engines: set[Engine] = set()
        self._writer: SummaryWriter | None = None
        self._handler: MLFlowHandler | None = None

    def attach(self, engine: Engine) -> None:
        """Log what an engine measures, from its start on."""
        engine.add_event_handler(Events.STARTED, self._start)

    def log_report(self, page: Path, figures: Sequence[ReportFigure]) -> None:
        """Log the report of a run: the page in MLflow, its figures in TensorBoard, which has no place for a page.

        Args:
            page: the file.
            figures: its figures.
        """
        if self._handler is not None and self._handler.cur_run is not None:
            self._handler.client.log_artifact(self._handler.cur_run.info.run_id, str(page))
        if self._writer is not None:
            for figure in figures:
                figure.picture.set_dpi(144)
                self._writer.add_figure(f"report/{figure.key}", figure.picture, close=False)
            self._writer.flush()

    def close(self) -> None:
        """End the logs; the run is complete."""
        if self._writer is not None:
            self._writer.close()
        if self._handler is not None:
            self._handler.close()

    def _start(self, engine: Engine) -> None:
        if engine in self._engines:  # it runs once more
            return
        self._engines.add(engine)
        label = getattr(engine, "label", "")
        losses: dict[str, Any] = {
            "iteration_log": isinstance(engine, Trainer),
            "output_transform": lambda output: output["loss"],
            "tag_name": f"{label}_train_loss" if label else "train_loss",
        }
        if "tensorboard" in self.log_to:
            self._writer = self._writer or SummaryWriter(log_dir=str(self.folder))
            TensorBoardStatsHandler(summary_writer=self._writer, **losses).attach(engine)
        if "mlflow" in self.log_to:
            self._handler = MLFlowHandler(**self.mlflow, **losses)
            self._handler.start(engine)
            self._log_parameters(self._handler)
            self._handler.attach(engine)

    def _log_parameters(self, handler: MLFlowHandler) -> None:
        """Log the parameters that the run does not have: MLflow refuses to change one."""
        run = handler.cur_run.info.run_id  # type: ignore[attr-defined]  # it has started
        known = handler.client.get_run(run).data.params
        for name, value in settings_rows(self.parameters):
            if name not in known:
                handler.client.log_param(run, name, value[:_MAX_VALUE])
