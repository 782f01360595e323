"""A few inputs of the fuzzer in each run of the tests; the long run is ``python -m tests.fuzz``."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.fuzz.corpus import make_corpus
from tests.fuzz.mutations import mutate
from tests.fuzz.run import fuzz
from tests.fuzz.worker import make_input


@pytest.mark.timeout(600)  # on a machine that has other work to do, too
def test_a_few_hundred_changed_files() -> None:
    report = fuzz(seed=20_000, inputs=250)
    assert report.findings == {}
    assert sum(report.counts.values()) == 250 and report.counts["read"] > 10 and report.counts["refused"] > 50
    assert 0 < report.peak_mb < 4096, "0.5 GB and 32 bytes for each of the most pixels that an image may have"


def test_an_input_is_the_same_wherever_it_is_made(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path)
    assert make_input(corpus, 3, 17)[1] == make_input(corpus, 3, 17)[1] != make_input(corpus, 4, 17)[1]
    assert len({seed.name for seed in corpus}) == len(corpus)


def test_a_mutation_changes_something() -> None:
    data = bytes(range(256)) * 4
    changed = [mutate(data, random.Random(number), [b"other"]) for number in range(200)]
    assert sum(one != data for one in changed) > 190
