"""A few inputs of the fuzzer in each run of the tests; the long run is ``python -m tests.fuzz``."""

import random
from pathlib import Path

import pytest

from tests.fuzz.corpus import make_corpus
from tests.fuzz.mutations import mutate
from tests.fuzz.run import FINE, fuzz, make_input


@pytest.mark.timeout(600)  # on a machine that has other work to do, too
def test_a_few_hundred_changed_files(tmp_path: Path) -> None:
    counts = fuzz(seed=20_000, inputs=250, findings=tmp_path)
    assert list(tmp_path.iterdir()) == [] and set(counts) <= set(FINE)
    assert counts.total() == 250 and counts["read"] > 10 and counts["refused"] > 50


def test_an_input_is_the_same_wherever_it_is_made(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path)
    assert make_input(corpus, 3, 17)[1] == make_input(corpus, 3, 17)[1] != make_input(corpus, 4, 17)[1]
    assert len({seed.name for seed in corpus}) == len(corpus)


def test_a_mutation_changes_something() -> None:
    data = bytes(range(256)) * 4
    changed = [mutate(data, random.Random(number), [b"other"]) for number in range(200)]
    assert sum(one != data for one in changed) > 190
