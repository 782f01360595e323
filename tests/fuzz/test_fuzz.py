"""A few inputs of the fuzzer in each run of the tests; the long run is ``python -m tests.fuzz``."""

import random
import resource
from pathlib import Path

import pytest

from tests.fuzz import run
from tests.fuzz.corpus import make_corpus
from tests.fuzz.mutations import mutate
from tests.fuzz.run import FINE, fuzz, make_input


@pytest.mark.timeout(600)  # on a machine that has other work to do, too
def test_a_few_hundred_changed_files(tmp_path: Path) -> None:
    counts = fuzz(seed=20_000, inputs=250, findings=tmp_path)
    assert list(tmp_path.iterdir()) == [] and set(counts) <= set(FINE)
    assert counts.total() == 250 and counts["read"] > 10 and counts["refused"] > 50


def test_reading_that_takes_too_much_memory_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = resource.getrlimit(resource.RLIMIT_DATA)
    tables = [seed for seed in make_corpus(tmp_path) if seed.reader == "table"]
    monkeypatch.setattr(run, "make_corpus", lambda folder: tables)
    sizes = iter([*(0 for _ in tables), 2 * run.MEMORY])
    monkeypatch.setattr(run, "read_landmark_table", lambda path: bytearray(next(sizes, 0)))
    counts = fuzz(seed=0, inputs=5, findings=tmp_path / "found")
    assert counts.total() == 5 and counts["read"] == 4 and len(list((tmp_path / "found").iterdir())) == 1
    assert resource.getrlimit(resource.RLIMIT_DATA) == limits


def test_an_input_is_the_same_wherever_it_is_made(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path)
    assert make_input(corpus, 3, 17)[1] == make_input(corpus, 3, 17)[1] != make_input(corpus, 4, 17)[1]
    assert len({seed.name for seed in corpus}) == len(corpus)


def test_a_mutation_changes_something() -> None:
    data = bytes(range(256)) * 4
    changed = [mutate(data, random.Random(number), [b"other"]) for number in range(200)]
    assert sum(one != data for one in changed) > 190
