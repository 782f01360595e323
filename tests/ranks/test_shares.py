"""Shares over any number of ranks; the ranks themselves are tested in tests/workflows/test_ranks.py."""

from __future__ import annotations

import pytest
import torch

from bundle import ranks as package
from bundle.ranks import (
    batch_share,
    covering_share,
    end_ranks,
    equal_share,
    from_first,
    group,
    is_first,
    of_all,
    rank_device,
    start_ranks,
    sum_over_ranks,
)
from bundle.records.errors import ConfigError


def as_rank(monkeypatch: pytest.MonkeyPatch, number: int, count: int) -> None:
    monkeypatch.setattr(package.shares, "rank", lambda: number)
    monkeypatch.setattr(package.shares, "ranks", lambda: count)
    monkeypatch.setattr(package.shares, "is_first", lambda: number == 0)


@pytest.mark.parametrize(("count", "number"), [(0, 1), (1, 1), (7, 1), (7, 2), (8, 4), (3, 5)])
def test_shares(count: int, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    equal, covering = [], []
    for index in range(number):
        as_rank(monkeypatch, index, number)
        equal.append(equal_share(count))
        covering.append(covering_share(count))
    assert {len(share) for share in equal} == {count // number}
    assert sorted(index for share in equal for index in share) == list(range(count // number * number))
    assert {len(share) for share in covering} == {-(-count // number)}
    assert {index for share in covering for index in share} == set(range(count))


@pytest.mark.parametrize(("batch", "number", "each"), [(4, 1, 4), (4, 2, 2), (2, 4, 1), (5, 2, 3)])
def test_a_batch(
    batch: int, number: int, each: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    as_rank(monkeypatch, 0, number)
    assert batch_share(batch) == each
    assert bool(capsys.readouterr().out) == (each * number != batch)
    as_rank(monkeypatch, number - 1, number)
    batch_share(batch)
    assert number == 1 or not capsys.readouterr().out, "rank 0 speaks"


def test_one_process_is_rank_0_of_one() -> None:
    assert is_first() and of_all("x") == ["x"] and from_first(3) == 3
    assert torch.equal(sum_over_ranks(torch.ones(2)), torch.ones(2))
    end_ranks()


class TestStart:
    def test_without_a_launcher(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR"):
            monkeypatch.delenv(name, raising=False)
        with pytest.raises(ConfigError, match="torchrun"):
            start_ranks()

    def test_more_ranks_than_accelerators(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in {"RANK": "2", "WORLD_SIZE": "3", "LOCAL_RANK": "2", "MASTER_ADDR": "localhost"}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(group.torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(group.torch.cuda, "device_count", lambda: 2)
        assert rank_device() == torch.device("cuda:2")
        with pytest.raises(ConfigError, match="there are 2"):
            start_ranks()
