import ctypes
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from bundle.model.inferer import crops_at_a_time, memory_budget_gb, reuse_memory
from bundle.model.paper_inferer import Region, hand_back_freed_memory, keep_regions
from tests.workflows.running import ROOT

CPU = torch.device("cpu")


def regions() -> list[tuple[int, Region]]:
    """Of different sizes, in both orders of memory, numbered out of order."""
    made = []
    for index, (rows, columns) in zip((2, 0, 3, 1), ((5, 4), (5, 4), (1, 7), (6, 2))):
        features = torch.randn(3, rows, columns)
        if index % 2:
            features = torch.randn(rows, columns, 3).permute(2, 0, 1)
        made.append((index, Region(features, torch.tensor([10.0 * index, 7.0]))))
    return made


@pytest.mark.parametrize("numbers_in_memory", [0, 60, 61, 10_000])
def test_what_is_stored_comes_back_from_memory_or_file(numbers_in_memory: int) -> None:
    given = regions()
    store = keep_regions(iter(given), memory_gb=numbers_in_memory * 4 / 1e9)
    assert len(store) == 4
    for _ in range(2):
        for index, region in given:
            assert torch.equal(store[index].features, region.features)
            assert torch.equal(store[index].origin, region.origin)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_file_keeps_the_precision(dtype: torch.dtype) -> None:
    features = torch.randn(3, 5, 4, dtype=dtype)
    found = keep_regions([(0, Region(features, torch.zeros(2)))], memory_gb=1e-9)[0].features
    assert found.dtype == dtype and torch.equal(found, features)


def test_only_what_exceeds_the_budget_goes_to_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(
        "bundle.model.paper_inferer._mapped", lambda features: sizes.append(features.numel()) or features
    )
    keep_regions(regions(), memory_gb=121 * 4 / 1e9)  # the first two have 60 numbers each
    assert sizes == [21, 36]
    assert keep_regions([], 0.1) == {}


def test_as_many_crops_as_the_budget_holds() -> None:
    assert crops_at_a_time(1000, CPU, 4e-6 * 2.9) == 2
    assert crops_at_a_time(1000, CPU, 1e-9) == 1
    assert crops_at_a_time(1000, CPU) == memory_budget_gb(CPU) * 1e9 / 4000


#: Frees most of 200 MB of small pieces, between some that stay, and tells how many resident pages that saves.
PROGRAM = """
import torch
from bundle.model.paper_inferer import hand_back_freed_memory
pages = lambda: int(open("/proc/self/statm").read().split()[1])
pieces = [torch.ones(25_000) for _ in range(2000)]
kept = pieces[::100]
del pieces
before = pages()
hand_back_freed_memory(torch.device("cpu"))
print(before - pages())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="needs glibc")
def test_freed_memory_goes_back() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert int(done.stdout) * 4096 > 150e6, done.stderr


def test_elsewhere_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: called.append("library") or SimpleNamespace())
    hand_back_freed_memory(torch.device("meta"))
    assert called == []
    hand_back_freed_memory(torch.device("cpu"))
    assert called == ["library"], "whose function is not there"


#: Takes and frees 200 MB five times and tells how many pages the system had to hand out for the last four.
REUSING = """
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
        command = [sys.executable, "-c", REUSING, mode]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
        faults[mode] = int(done.stdout)
    assert faults["reuse"] * 2 < faults["default"]


def test_other_libraries_do_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: SimpleNamespace())
    reuse_memory()
