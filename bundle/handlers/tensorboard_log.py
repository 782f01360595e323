"""The log of TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine
from monai.handlers import TensorBoardStatsHandler
from torch.utils.tensorboard import SummaryWriter

from bundle.report import ReportFigure


class TensorBoardLog:
    """Scalars by MONAI's handler; the figures of a report as images.

    Args:
        folder: where TensorBoard's files are written.
        output_transform: what to log of an engine's output after each iteration; None for nothing.
        tag: the name of that.
    """

    def __init__(self, folder: str | Path, output_transform: Callable[[Any], Any] | None, tag: str) -> None:
        self.writer = SummaryWriter(log_dir=str(folder))
        self.handler = TensorBoardStatsHandler(
            summary_writer=self.writer,
            iteration_log=output_transform is not None,
            output_transform=output_transform or (lambda output: None),
            tag_name=tag,
        )

    def attach(self, engine: Engine) -> None:
        """Log what an engine measures."""
        self.handler.attach(engine)

    def log_report(self, page: Path, figures: Sequence[ReportFigure]) -> None:
        """Log the figures of a report; TensorBoard has no place for the page itself."""
        for figure in figures:
            figure.picture.set_dpi(144)
            self.writer.add_figure(f"report/{figure.key}", figure.picture, close=False)
        self.writer.flush()

    def close(self) -> None:
        """End the log."""
        self.writer.close()
