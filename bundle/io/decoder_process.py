"""Reads files in a process of its own: a damaged or hostile file can cost that process its life, but nothing else.

Decoders in C and C++ may end their process instead of raising an error, a small file can state, or hide, a huge image,
and some headers keep a decoder busy for ever. One limit of time and one of memory hold for all of them.
"""

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

import psutil

import bundle
from bundle.errors import BundleError, ImageError

#: Seconds of CPU time for one file.
SECONDS = 60

#: The most memory of the reading process, in bytes, where the caller does not say another number.
MEMORY = 1024**3

_POLL = 0.05  # seconds between two looks at what the reading process takes
_lock = threading.Lock()


def read_in_process(read: Callable[..., Any], path: Path, *options: Any, memory: int = MEMORY) -> Any:
    """What a reader returns, computed in another process, which is kept for the next file.

    Args:
        read: a function that can be pickled, called with ``path`` and ``options``.
        path: the file.
        options: values that can be pickled.
        memory: bytes that the other process may take.

    Returns:
        What ``read`` returns.

    Raises:
        ImageError: when the other process ended, or took more than a minute of CPU time or too much memory.
        BundleError, MemoryError, OSError: what ``read`` raises.
        RuntimeError: when ``read`` raises anything else.
    """
    request = read, path, options, Path.cwd()  # the folder may have changed
    with _lock:
        process = _reader(os.getpid())
        most_kept = min(MEMORY, memory * 3 // 4)  # of libraries and earlier files; the rest is for this one
        if process.poll() is not None or _memory(process) > most_kept:  # ended by whoever it was, or kept too much
            _end(process)
            process = _reader(os.getpid())
        answered, exceeded = threading.Event(), threading.Event()
        guard = threading.Thread(target=_guard, args=(process, memory, answered, exceeded), daemon=True)
        guard.start()
        try:
            pickle.dump(request, process.stdin)
            process.stdin.flush()
            value, error = pickle.load(process.stdout)
        except BaseException as failure:  # also Ctrl-C: an answer that nobody took would be taken for the next one
            _end(process)
            if not isinstance(failure, (OSError, EOFError, pickle.UnpicklingError)):
                raise
            what = "takes more time or memory than any sound file" if exceeded.is_set() else "crashes its decoder"
            raise ImageError(
                f"{path} {what}: it is damaged or made to do so: copy it again or export it anew."
            ) from None
        finally:
            answered.set()
            guard.join()
    if error is not None:
        raise error
    return value


def _guard(process: psutil.Popen, memory: int, answered: threading.Event, exceeded: threading.Event) -> None:
    """End the reading process when one file takes too much."""
    with contextlib.suppress(psutil.Error):
        before = sum(process.cpu_times()[:2])  # of the user and of the system
        while not answered.wait(_POLL):
            if sum(process.cpu_times()[:2]) - before > SECONDS or _memory(process) > memory:
                exceeded.set()
                process.kill()
                return


def _memory(process: psutil.Popen) -> int:
    with contextlib.suppress(psutil.Error):  # it ended meanwhile
        return int(process.memory_info().rss)
    return 0


def _end(process: psutil.Popen) -> None:
    """End the reading process; the next file gets a new one."""
    _reader.cache_clear()
    with contextlib.suppress(OSError, psutil.Error), process:
        process.kill()


@functools.cache
def _reader(owner: int) -> psutil.Popen:
    """The reading process of a process; one that was forked from another has its own."""
    root = str(Path(bundle.__file__).resolve().parents[1])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return psutil.Popen(
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
            pickle.dump(_answer(*pickle.load(sys.stdin.buffer)), answers, protocol=pickle.HIGHEST_PROTOCOL)
            answers.flush()


def _answer(read: Callable[..., Any], path: Path, options: tuple[Any, ...], folder: Path) -> tuple[Any, Any]:
    """What a reader returns and the error it raised; nothing of it is kept when the next file comes."""
    try:
        os.chdir(folder)
        return read(path, *options), None
    except (BundleError, MemoryError, OSError) as error:
        return None, error
    except Exception as error:  # a defect; not every exception can be pickled
        return None, RuntimeError(f"{type(error).__name__} while reading {path}: {error}")


if __name__ == "__main__":
    serve()
