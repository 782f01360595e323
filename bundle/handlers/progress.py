"""A progress bar over a run whose engine does not know its length."""

from __future__ import annotations

import threading

from ignite.engine import Engine, Events
from tqdm import tqdm

from bundle.data.journal import Journal
from bundle.data.readable import Failures
from bundle.ranks import barrier, is_first, ranks


class ImageProgress:
    """Shows how many of the run's files are done, and the time that remains.

    Rank 0 shows it for all ranks together: it looks at their journals every second. Files that could not be read count
    as done; those of the other ranks only when all is done.

    Args:
        journal: the images of the run, and what is done of them.
        failures: the files that could not be read.
        label: what the bar is called.
    """

    def __init__(self, journal: Journal, failures: Failures, label: str) -> None:
        self.journal = journal
        self.failures = failures
        self.label = label
        self._bar: tqdm | None = None
        self._watch: threading.Thread | None = None
        self._over = threading.Event()

    def attach(self, engine: Engine) -> None:
        """Attach to an engine, after what opens the journal."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._open)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._advance)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._close)

    def _open(self, engine: Engine) -> None:
        if not is_first():
            return
        self._bar = tqdm(
            total=len(self.journal.cases.items),
            initial=self.journal.done,
            desc=self.label,
            unit="image",
            dynamic_ncols=True,
        )
        if ranks() > 1:
            self._watch = threading.Thread(target=self._watch_all, daemon=True)
            self._watch.start()

    def _advance(self, engine: Engine) -> None:
        if ranks() == 1:
            self._show(engine.state.iteration)

    def _watch_all(self) -> None:
        while not self._over.wait(1.0):
            self._show(self.journal.count_new())

    def _show(self, new: int) -> None:
        if self._bar is not None:
            self._bar.update(min(self.journal.done + new + len(self.failures), self._bar.total) - self._bar.n)

    def _close(self, engine: Engine) -> None:
        barrier()  # the others' images belong to the bar
        self._over.set()
        if self._watch is not None:
            self._watch.join()
        if self._bar is not None:
            self._bar.update(self._bar.total - self._bar.n)
            self._bar.close()
            self._bar = None
