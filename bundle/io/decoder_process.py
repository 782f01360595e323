"""Reads a file in a process of its own, for decoders that a damaged file can crash.

Decoders in C++ may end their process instead of raising an error: GDCM does for some damaged JPEG streams, ITK for some
damaged NRRD files. Here it is the reading process that ends; the run notes the file and goes on with another one.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bundle
from bundle.errors import BundleError, ImageError

#: Seconds of CPU time for one file.
SECONDS = 60

_lock = threading.Lock()


def read_in_process(
    read: Callable[..., Any], path: Path, *options: Any, prepare: Callable[[], object] | None = None
) -> Any:
    """What a reader returns, computed in another process, which is kept for the next file.

    Args:
        read: a function of a module of this package, called with ``path`` and ``options``.
        path: the file.
        options: values that can be pickled.
        prepare: loads what ``read`` needs, before its time counts: a large library can take as long as a file may.

    Returns:
        What ``read`` returns.

    Raises:
        ImageError: when the other process ended, or took more than a minute of CPU time.
        BundleError, MemoryError, OSError: what ``read`` raises.
        RuntimeError: when ``read`` raises anything else.
    """
    with _lock:
        process = _reader(os.getpid())
        if process.poll() is not None:  # between two files, by whoever it was
            _reader.cache_clear()
            process = _reader(os.getpid())
        assert process.stdin is not None and process.stdout is not None
        try:
            pickle.dump((prepare, read, path, options, SECONDS), process.stdin)
            process.stdin.flush()
            value, error = pickle.load(process.stdout)
        except BaseException as failure:  # also Ctrl-C: an answer that nobody took would be taken for the next one
            _reader.cache_clear()
            with contextlib.suppress(OSError), process:
                process.kill()
            if not isinstance(failure, (OSError, EOFError, pickle.UnpicklingError)):
                raise
            raise ImageError(
                f"{path} crashes its decoder: it is damaged or made to do so: copy it again or export it anew."
            ) from None
    if error is not None:
        raise error
    return value


@functools.cache
def _reader(owner: int) -> subprocess.Popen[bytes]:
    """The reading process of a process; one that was forked from another has its own."""
    root = str(Path(bundle.__file__).resolve().parents[1])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "bundle.io.decoder_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # what decoders say of damaged files; the sentence is ours
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )


def serve() -> None:
    """Read what is asked for on standard input until it is closed; this is what the reading process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run, which then closes the input
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a decoder that prints must not speak in between
    with contextlib.suppress(EOFError):
        while True:
            prepare, read, path, options, seconds = pickle.load(sys.stdin.buffer)
            if prepare is not None:
                prepare()
            value: Any = None
            problem: Exception | None = None
            _limit(seconds)
            try:
                value = read(path, *options)
            except (BundleError, MemoryError, OSError) as error:
                problem = error
            except Exception as error:  # a defect; not every exception can be pickled
                problem = RuntimeError(f"{type(error).__name__} while reading {path}: {error}")
            _limit(0)
            pickle.dump((value, problem), answers, protocol=pickle.HIGHEST_PROTOCOL)
            answers.flush()


def _limit(seconds: float) -> None:
    """End this process after so much CPU time; 0 for never."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)  # its signal also ends code that is not Python


if __name__ == "__main__":
    serve()
