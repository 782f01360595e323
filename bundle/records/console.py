"""How a run ends for a user of the command line: one sentence, no traceback, and an exit status that says how far."""

from __future__ import annotations

import os
import sys
from types import TracebackType

from bundle.records.errors import find_bundle_error, one_line, root_cause

#: Everything was done.
DONE = 0

#: The run is complete, but some files could not be used.
SOME_FAILED = 1

#: Nothing was done, or the run did not come to its end.
NOT_DONE = 2

#: Ctrl-C, as shells say it: 128 and the number of the signal.
INTERRUPTED = 130


def report_errors_plainly() -> None:
    """Show every exception that nobody caught as one sentence on standard error, and end with status 2.

    A :class:`BundleError` says what to do. Anything else is a defect, or a setting that only a library could judge; its
    traceback is shown where the environment has ``MONAI_DEBUG=1``. Ctrl-C is one line, with status 130. Programs call
    this first; a program that imports the package is not touched.
    """
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        ours = find_bundle_error(error)
        if issubclass(kind, KeyboardInterrupt):
            print("stopped: the same command started again goes on.", file=sys.stderr)
            raise SystemExit(INTERRUPTED)
        if ours is not None:
            print(f"error: {one_line(str(ours))}", file=sys.stderr)
        elif os.environ.get("MONAI_DEBUG", "0") not in ("", "0"):
            previous(kind, error, trace)
        else:
            first = root_cause(error)
            print(
                f"error: {type(first).__name__}: {one_line(str(first))}: check the settings that differ from the "
                "defaults; if none does, this is a defect, and MONAI_DEBUG=1 before the command shows its place.",
                file=sys.stderr,
            )
        raise SystemExit(NOT_DONE)  # out of the hook: it becomes the status of the process

    sys.excepthook = hook
