"""A training in a process of its own, which can be ended at once and takes no time from who serves pages."""

import multiprocessing
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bundle.errors import BundleError

#: How often it is seen whether the training shall end, in seconds.
LOOK = 0.2


class Stopped(Exception):
    """The work was stopped by who started it."""


def train_apart(
    model: Path, images: Sequence[str], labels: Sequence[str], settings: Mapping[str, Any], stop: threading.Event
) -> None:
    """Train on annotated images.

    Args:
        model: the file to write.
        images: their files.
        labels: the files of their landmarks.
        settings: for ``LandmarkFinder.from_template``.
        stop: ends it.

    Raises:
        BundleError: when an image cannot be used.
        Stopped: when it was ended.
    """
    context = multiprocessing.get_context("spawn")  # a fork would inherit the locks of other threads
    heard, says = context.Pipe(duplex=False)
    process = context.Process(target=_train, args=(says, model, images, labels, settings), daemon=True)
    process.start()
    says.close()
    try:
        while not heard.poll(LOOK):
            if stop.is_set():
                raise Stopped
        trouble = heard.recv()
    except EOFError:
        trouble = "the training was ended by the system: it may need more memory than there is."
    finally:
        process.kill()
        process.join()
    if trouble:
        raise BundleError(trouble)


def _train(says: Any, model: Path, images: Sequence[str], labels: Sequence[str], settings: Mapping[str, Any]) -> None:
    """What the process does; it ends with the one that started it."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    from bundle import LandmarkFinder

    try:
        LandmarkFinder.from_template(list(images), list(labels), **settings).fit().save_model(model)
        says.send("")
    except Exception as error:  # who started it says it
        says.send(str(error) if isinstance(error, BundleError) else f"{type(error).__name__}: {error}")
