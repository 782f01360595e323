"""What a run says on the command line: its progress, and at its end one sentence and how far it came, no traceback."""

import argparse
import functools
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from types import TracebackType
from typing import Any, NoReturn

from tqdm import tqdm

from bundle.errors import ConfigError, find_bundle_error, one_line, root_cause

#: Everything was done.
DONE = 0

#: The run is complete, but some files could not be used.
SOME_FAILED = 1

#: Nothing was done, or the run did not come to its end.
NOT_DONE = 2

#: Ctrl-C, as shells say it: 128 and the number of the signal.
INTERRUPTED = 130


class CommandParser(argparse.ArgumentParser):
    """A command line whose options are written out, and whose mistakes are one sentence with the nearest option.

    Args:
        description: the script's docstring.
    """

    def __init__(self, description: str | None = None, **settings: Any) -> None:
        super().__init__(
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            **settings,
        )

    def error(self, message: str) -> NoReturn:
        """Refuse.

        Raises:
            ConfigError: saying what is wrong.
        """
        known = [name for action in self._actions for name in action.option_strings]
        unknown = re.match(r"unrecognized arguments: (\S+)", message)
        near = get_close_matches(unknown[1].partition("=")[0], known, n=1) if unknown else []
        cure = f"did you mean {near[0]}?" if near else f"`{self.prog} --help` lists what there is."
        raise ConfigError(f"{message}: {cure}")


Main = Callable[[Sequence[str] | None], int | None]


def command(main: Main) -> Callable[[Sequence[str] | None], int]:
    """A script's main function that says what :func:`report_errors_plainly` says, and returns the exit status.

    Args:
        main: takes the arguments, by default those of the process; returns the status, or None when all was done.
    """

    @functools.wraps(main)
    def run(argv: Sequence[str] | None = None) -> int:
        try:
            return main(argv) or DONE
        except (Exception, KeyboardInterrupt) as error:
            if _is_to_be_traced(error):
                raise
            return _say(error)

    return run


def report_errors_plainly() -> None:
    """Show every exception that nobody caught as one sentence on standard error, and end with status 2.

    A :class:`BundleError` says what to do. Anything else is a defect, or a setting that only a library could judge; its
    traceback is shown where the environment has ``MONAI_DEBUG=1``. Ctrl-C is one line, with status 130. Programs call
    this first; a program that imports the package is not touched.
    """
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if _is_to_be_traced(error):
            previous(kind, error, trace)
            raise SystemExit(NOT_DONE)
        raise SystemExit(_say(error))  # out of the hook: it becomes the status of the process

    sys.excepthook = hook


def is_command_line() -> bool:
    """Whether this process is ``python -m monai.bundle``, and no program that runs a workflow itself."""
    main = getattr(sys.modules.get("__main__"), "__spec__", None)
    return main is not None and main.name == "monai.bundle.__main__"


def end_command(status: int = DONE) -> None:
    """End MONAI's command line at once, which is the last step of a workflow; any other program goes on.

    Python would take two to four seconds to take apart all that is imported.
    """
    if is_command_line():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _is_to_be_traced(error: BaseException) -> bool:
    wanted = os.environ.get("MONAI_DEBUG", "0") not in ("", "0")
    return wanted and not isinstance(error, KeyboardInterrupt) and find_bundle_error(error) is None


def _say(error: BaseException) -> int:
    """One sentence about an error on standard error; the exit status."""
    if isinstance(error, KeyboardInterrupt):
        print("stopped: what is done stays; start the same command again for the rest.", file=sys.stderr)
        return INTERRUPTED
    ours = find_bundle_error(error)
    if ours is not None:
        print(f"error: {one_line(str(ours))}", file=sys.stderr)
    else:
        first = root_cause(error)
        print(
            f"error: {type(first).__name__}: {one_line(str(first))}: check the settings that differ from the defaults; "
            "if none does, this is a defect, and MONAI_DEBUG=1 before the command shows its place.",
            file=sys.stderr,
        )
    return NOT_DONE


class _Lines:
    """Takes what tqdm draws, and writes it as lines without control characters."""

    def write(self, text: str) -> None:
        """Write what is more than space and a way back to the line's start."""
        if text := text.strip("\r\n "):
            print(text, file=sys.stderr, flush=True)

    def flush(self) -> None:
        """Every line is written at once."""


def progress(iterable: Iterable | None = None, **settings: Any) -> tqdm:
    """Progress on standard error: a bar on a terminal; in a pipe a line at the start, each minute, and at the end.

    Args:
        iterable: what is gone through; None where the caller updates what is shown.
        settings: as for ``tqdm``: ``total``, ``initial``, ``desc``, ``unit``, ``disable``.
    """
    if sys.stderr.isatty():
        return tqdm(iterable, dynamic_ncols=True, **settings)
    settings["bar_format"] = "{desc}: {n_fmt}/{total_fmt} {unit} [{elapsed}<{remaining}{postfix}]"
    # Position 0, or tqdm would move the cursor up to a bar of work that this one is part of.
    return tqdm(iterable, file=_Lines(), mininterval=60, maxinterval=60, position=0, **settings)
