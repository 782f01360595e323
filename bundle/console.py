"""How errors reach a user of the command line: one sentence, no traceback."""

from __future__ import annotations

import sys
from types import TracebackType

from bundle.errors import find_bundle_error


def report_errors_plainly() -> None:
    """Show every :class:`BundleError` that nobody caught as one sentence on standard error; the exit status is 1.

    All other exceptions keep their traceback: they are defects, not mistakes of the user. The configurations call this
    first, in ``initialize``; programs that import the package are not touched.
    """
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        ours = find_bundle_error(error)
        if ours is None:
            previous(kind, error, trace)
        else:
            print(f"error: {ours}", file=sys.stderr)

    sys.excepthook = hook
