import ctypes
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from bundle.errors import ConfigError
from bundle.model.inferer import reuse_memory
from bundle.training.run_folder import fix_seed
from tests.workflows.running import ROOT

#: Takes and frees 200 MB five times and tells how many pages the system had to hand out for the last four.
PROGRAM = """
import resource, sys, torch
from bundle.model.inferer import reuse_memory
if sys.argv[1] == "reuse":
    reuse_memory()
for count in range(5):
    torch.ones(50_000_000)
    if count == 0:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs glibc")
def test_memory_is_not_handed_out_again() -> None:
    faults = {}
    for mode in ("reuse", "default"):
        command = [sys.executable, "-c", PROGRAM, mode]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
        faults[mode] = int(done.stdout)
    assert faults["reuse"] * 2 < faults["default"]


def test_other_libraries_do_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: SimpleNamespace())
    reuse_memory()


@pytest.mark.parametrize("seed", [-1, 2**32, True, 1.5, "1", None])
def test_seeds_that_are_none(seed: Any) -> None:
    with pytest.raises(ConfigError, match="from 0 to 4294967295"):
        fix_seed(seed)
