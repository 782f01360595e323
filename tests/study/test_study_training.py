"""A training in a process of its own."""

import threading
import time
from pathlib import Path

import pytest

from bundle.errors import BundleError
from study.training import Stopped, train_apart


def test_it_ends_at_once(tmp_path: Path) -> None:
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    started = time.monotonic()
    with pytest.raises(Stopped):
        train_apart(tmp_path / "model.pt", ["one.png", "two.png"], ["one.csv", "two.csv"], {}, stop)
    assert time.monotonic() - started < 1.5 and not list(tmp_path.iterdir())


def test_what_is_wrong_comes_back_as_a_sentence(tmp_path: Path) -> None:
    files = [str(tmp_path / name) for name in ("one.png", "two.png")]
    with pytest.raises(BundleError, match=r"one\.png.*\.$"):
        train_apart(tmp_path / "model.pt", files, files, {}, threading.Event())
