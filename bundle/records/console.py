"""How a run ends for a user of the command line: one sentence, no traceback, and an exit status that says how far."""

from __future__ import annotations

import sys
from types import TracebackType

from bundle.records.errors import find_bundle_error, one_line

#: Everything was done.
DONE = 0

#: The run is complete, but some files could not be used.
SOME_FAILED = 1

#: Nothing was done, or the run did not come to its end.
NOT_DONE = 2

#: Ctrl-C, as shells say it: 128 and the number of the signal.
INTERRUPTED = 130


def report_errors_plainly() -> None:
    """Show every :class:`BundleError` that nobody caught as one sentence on standard error, and end with status 2.

    All other exceptions keep their traceback, for they are defects, not mistakes of the user; the status is 2, too.
    Ctrl-C is one line, with status 130. The configurations call this first, in ``initialize``; programs that import the
    package are not touched.
    """
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        ours = find_bundle_error(error)
        if issubclass(kind, KeyboardInterrupt):
            print("stopped: the same command started again goes on.", file=sys.stderr)
            raise SystemExit(INTERRUPTED)
        if ours is None:
            previous(kind, error, trace)
        else:
            print(f"error: {one_line(str(ours))}", file=sys.stderr)
        raise SystemExit(NOT_DONE)  # out of the hook: it becomes the status of the process

    sys.excepthook = hook
