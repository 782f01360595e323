from __future__ import annotations

import ctypes
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from bundle.model.freed_memory import hand_back_freed_memory
from tests.workflows.running import ROOT

#: Frees most of 200 MB of small pieces, between some that stay, and tells how many resident pages that saves.
PROGRAM = """
import torch
from bundle.model.freed_memory import hand_back_freed_memory
pages = lambda: int(open("/proc/self/statm").read().split()[1])
pieces = [torch.ones(25_000) for _ in range(2000)]
kept = pieces[::100]
del pieces
before = pages()
assert hand_back_freed_memory(torch.device("cpu"))
print(before - pages())
"""


@pytest.mark.skipif(sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="needs glibc")
def test_freed_memory_goes_back() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert int(done.stdout) * 4096 > 150e6, done.stderr


def test_elsewhere_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hand_back_freed_memory(torch.device("meta")) is False
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: SimpleNamespace())
    assert hand_back_freed_memory(torch.device("cpu")) is False
