"""The progress of a run whose engine does not know its length."""

from __future__ import annotations

import ignite.distributed as idist
from ignite.engine import Engine, Events

from bundle.data.journal import Journal
from bundle.data.readable import Failures
from bundle.ranks import is_first
from bundle.records.progress import progress


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
