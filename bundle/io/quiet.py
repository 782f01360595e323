"""Keeping the decoders' own warnings off the user's screen."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_LOGGERS = ("pydicom", "nibabel", "nibabel.global", "PIL", "pylibjpeg", "openjpeg")
_lock = threading.Lock()
_inside = 0
_restore = ExitStack()


@contextmanager
def quiet_decoders() -> Iterator[None]:
    """Silence Python warnings and the loggers of pydicom, nibabel and Pillow within the block.

    What matters in them is either an error, which the readers report in a sentence of their own, or about metadata
    that is not used. The filters are global to the process: with several threads inside such blocks, the first one
    in sets them and the last one out restores them. The lines that OpenJPEG or MetaIO, which are not Python, may print
    for a damaged file, and GDCM for a 12-bit JPEG, are not caught.
    """
    global _inside
    with _lock:
        _inside += 1
        if _inside == 1:
            _silence()
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _restore.close()


def _silence() -> None:
    _restore.enter_context(warnings.catch_warnings())
    warnings.simplefilter("ignore")
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        _restore.callback(logger.setLevel, logger.level)
        logger.setLevel(logging.CRITICAL + 1)
