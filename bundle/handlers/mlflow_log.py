"""The log of MLflow, which is installed by ``requirements-mlflow.txt`` alone."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from monai.handlers import MLFlowHandler

from bundle.errors import ConfigError
from bundle.report import ReportFigure
from bundle.report.overview import settings_rows

#: The longest value of a parameter that MLflow takes.
_MAX_VALUE = 6000


class MlflowLog:
    """Scalars by MONAI's handler; settings as parameters, the report and its figures as artifacts.

    All logs of one name write into one run of MLflow until one of them is closed, so that a training that was killed
    and started again has one run.

    Args:
        uri: the tracking server or database, such as ``sqlite:///mlruns.db``; None for MLflow's environment variable
            ``MLFLOW_TRACKING_URI``, or else a database in the current folder.
        experiment: name of the experiment.
        run_name: name of the run.
        parameters: settings of any depth.
        output_transform: what to log of an engine's output after each iteration; None for nothing.
        tag: the name of that.

    Raises:
        ConfigError: when MLflow is not installed, or the address is not one that it takes.
    """

    def __init__(
        self,
        uri: str | None,
        experiment: str,
        run_name: str,
        parameters: Mapping[str, Any],
        output_transform: Callable[[Any], Any] | None,
        tag: str,
    ) -> None:
        if importlib.util.find_spec("mlflow") is None:
            raise ConfigError(
                "log_to names 'mlflow', but the package is not installed: run pip install -r requirements-mlflow.txt "
                "-c constraints.txt, or leave it out."
            )
        self.parameters = {name: value[:_MAX_VALUE] for name, value in settings_rows(parameters)}
        try:
            self.handler = MLFlowHandler(
                tracking_uri=uri,
                iteration_log=output_transform is not None,
                output_transform=output_transform or (lambda output: None),
                tag_name=tag,
                experiment_name=experiment,
                run_name=run_name,
            )
        except ValueError as error:
            raise ConfigError(
                f"mlflow_uri is {uri!r}, which MLflow does not take as a store: give sqlite:///FILE or the address "
                "of a server."
            ) from error

    def attach(self, engine: Engine) -> None:
        """Log what an engine measures."""
        self.handler.attach(engine)
        engine.add_event_handler(Events.STARTED, self._log_parameters)

    def log_report(self, page: Path, figures: Sequence[ReportFigure]) -> None:
        """Log the page and its figures."""
        run = self._run_id()
        if run is None:
            return
        self.handler.client.log_artifact(run, str(page))
        for figure in figures:
            self.handler.client.log_figure(run, figure.picture, f"figures/{figure.key}.svg")

    def close(self) -> None:
        """End the run."""
        self.handler.close()

    def _run_id(self) -> str | None:
        """The run; None before an engine has started."""
        return None if self.handler.cur_run is None else self.handler.cur_run.info.run_id

    def _log_parameters(self) -> None:
        """Log the parameters that the run does not have: MLflow refuses to change one."""
        run = self._run_id()
        if run is None:
            return
        known = self.handler.client.get_run(run).data.params
        for name, value in self.parameters.items():
            if name not in known:
                self.handler.client.log_param(run, name, value)
