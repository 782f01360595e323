import sys

import pytest
from tqdm import tqdm

from bundle.records.console import progress


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    bar = progress(range(500), desc="warps", unit="warp")
    for index in bar:
        bar.set_postfix(loss=index, refresh=False)
        if index == 200:
            tqdm.write("error: one line.", file=sys.stderr)
    told = capsys.readouterr().err
    assert told.splitlines()[0].startswith("warps: 0/500 warp [") and told.splitlines()[1] == "error: one line."
    assert told.splitlines()[2].startswith("warps: 500/500 warp [") and "loss=499" in told
    assert len(told.splitlines()) == 3 and all(letter.isprintable() or letter == "\n" for letter in told)


def test_work_within_work(capsys: pytest.CaptureFixture[str]) -> None:
    outer = progress(range(2), desc="landmarks")
    for _ in outer:
        list(progress(range(3), desc="templates"))
    told = capsys.readouterr().err
    assert "templates: 3/3" in told and "landmarks: 2/2" in told
    assert all(letter.isprintable() or letter == "\n" for letter in told)


def test_a_bar_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    list(progress(range(3), desc="warps"))
    assert "\rwarps: 100%|" in capsys.readouterr().err


def test_nothing_where_another_rank_speaks(capsys: pytest.CaptureFixture[str]) -> None:
    list(progress(range(3), disable=True))
    assert capsys.readouterr().err == ""
