"""A progress bar over a run whose engine does not know its length."""

from __future__ import annotations

from ignite.engine import Engine, Events
from tqdm import tqdm

from bundle.data.readable import ReadableImages


class ImageProgress:
    """Shows how many of the files are done, and the time that remains.

    Args:
        images: the images of the run; files that could not be read count as done.
        label: what the bar is called.
    """

    def __init__(self, images: ReadableImages, label: str) -> None:
        self.images = images
        self.label = label
        self._bar: tqdm | None = None

    def attach(self, engine: Engine) -> None:
        """Attach to an engine."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._open)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._advance)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._close)

    def _open(self, engine: Engine) -> None:
        self._bar = tqdm(total=self.images.files, desc=self.label, unit="image", dynamic_ncols=True)

    def _advance(self, engine: Engine) -> None:
        if self._bar is not None:
            self._bar.update(engine.state.iteration + len(self.images.failures) - self._bar.n)

    def _close(self, engine: Engine) -> None:
        if self._bar is not None:
            self._bar.update(self.images.files - self._bar.n)
            self._bar.close()
            self._bar = None
