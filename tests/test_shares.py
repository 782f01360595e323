"""Shares and exchange of one process; those of several are tested in tests/workflows/test_ranks.py."""

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
import torch

from bundle import ranks
from bundle.errors import BundleError, ConfigError
from bundle.ranks import batch_share, equal_share, fork_ranks, from_first, is_first, of_all, start_ranks


def as_rank(monkeypatch: pytest.MonkeyPatch, number: int, count: int) -> None:
    monkeypatch.setattr(ranks.idist, "get_rank", lambda: number)
    monkeypatch.setattr(ranks.idist, "get_world_size", lambda: count)


@pytest.mark.parametrize(("count", "number"), [(0, 1), (1, 1), (7, 1), (7, 2), (8, 4), (3, 5)])
def test_shares(count: int, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    equal = []
    for index in range(number):
        as_rank(monkeypatch, index, number)
        equal.append(equal_share(count))
    assert {len(share) for share in equal} == {count // number}
    assert sorted(index for share in equal for index in share) == list(range(count // number * number))


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
    assert is_first() and from_first(3) == 3
    for own in ("x", 3, None, True, [1], ("a", "b")):
        assert of_all(own) == [own] and type(of_all(own)[0]) is type(own)
    assert torch.equal(of_all(torch.ones(2))[0], torch.ones(2))


class TestStart:
    def test_without_a_launcher(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR"):
            monkeypatch.delenv(name, raising=False)
        with pytest.raises(ConfigError, match="torchrun"):
            start_ranks()

    def test_more_ranks_than_accelerators(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in {"RANK": "2", "WORLD_SIZE": "3", "LOCAL_RANK": "2", "MASTER_ADDR": "localhost"}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(ranks.torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(ranks.torch.cuda, "device_count", lambda: 2)
        with pytest.raises(ConfigError, match="there are 2"):
            start_ranks()


class TestForks:
    """What becomes of the process that has forked; ranks at work are tested in tests/workflows/test_ranks.py."""

    @pytest.fixture(autouse=True)
    def handlers(self) -> Iterator[None]:
        kept = signal.getsignal(signal.SIGTERM)
        yield
        signal.signal(signal.SIGTERM, kept)

    def outcome(self, monkeypatch: pytest.MonkeyPatch, act: Callable[[int], Any], count: int = 2) -> int:
        def rank(number: int, _count: int, _store: str) -> None:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            act(number)
            os._exit(0)

        monkeypatch.setattr(ranks, "_join", rank)
        monkeypatch.setattr(ranks.gc, "freeze", lambda: None)  # this process goes on
        others = psutil.Process().children()
        with pytest.raises(SystemExit) as end:
            fork_ranks(count)
        assert psutil.Process().children() == others
        return int(str(end.value.code))

    @pytest.mark.parametrize("processes", [0, -1, 1.5, "all", None])
    def test_no_number_of_processes(self, processes: Any) -> None:
        with pytest.raises(ConfigError, match="expected a whole number from 1 on"):
            fork_ranks(processes)

    def test_a_system_without_forks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(os, "fork")
        with pytest.raises(ConfigError, match="torchrun"):
            fork_ranks(2)
        fork_ranks(1)

    def test_all_end_well(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.outcome(monkeypatch, lambda number: None, 3) == 0

    def test_the_first_failure_ends_the_others(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.outcome(monkeypatch, lambda number: os._exit(2) if number else signal.pause()) == 2

    def test_a_killed_rank(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def act(number: int) -> None:
            os.kill(os.getpid(), signal.SIGKILL) if number else signal.pause()

        with pytest.raises(BundleError, match="ended by signal 9: start the same command again"):
            self.outcome(monkeypatch, act)

    def test_ending_the_process_ends_its_ranks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def act(number: int) -> None:
            if number:
                os.kill(os.getppid(), signal.SIGTERM)
            signal.pause()

        assert self.outcome(monkeypatch, act) == 143
