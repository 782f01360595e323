import contextlib
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from bundle.errors import ConfigError, ImageError
from bundle.io import decoder_process
from bundle.io.decoded import check_max_pixels, check_size
from bundle.io.decoder_process import read_in_process


def reader() -> psutil.Popen:
    return decoder_process._reader(os.getpid())


@pytest.fixture(autouse=True)
def no_process_stays() -> None:
    yield
    with contextlib.suppress(psutil.NoSuchProcess), reader():
        reader().kill()
    decoder_process._reader.cache_clear()


def test_values_and_errors_come_back(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_in_process(np.arange, 3), [0, 1, 2])
    first = reader()
    with pytest.raises(ImageError, match=r"is 1 x 1 pixels, but each side"):
        read_in_process(check_size, tmp_path / "a.png", 1, 1, 100)
    with pytest.raises(ConfigError, match="max_pixels is -1"):
        read_in_process(check_max_pixels, -1)
    with pytest.raises(RuntimeError, match="ZeroDivisionError while reading"):
        read_in_process(divmod, 1, 0)
    with pytest.raises(FileNotFoundError, match="No such file or directory"):
        read_in_process(os.listdir, tmp_path / "none")
    assert reader() is first, "one process for all files"


def test_a_process_that_ends_costs_one_file(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ImageError, match="crashes its decoder"):
            read_in_process(signal.raise_signal, signal.SIGABRT)
        assert read_in_process(abs, -3) == 3


def test_a_decoder_that_prints_does_no_harm(capfd: pytest.CaptureFixture[str]) -> None:
    read_in_process(os.system, "echo loud; echo louder >&2")
    assert read_in_process(abs, -3) == 3
    assert capfd.readouterr() == ("", "")


def test_it_ends_with_the_run(tmp_path: Path) -> None:
    assert read_in_process(abs, -3) == 3
    reader().stdin.close()
    assert reader().wait(20) == 0


def test_one_that_was_killed_between_two_files_costs_none() -> None:
    assert read_in_process(abs, -3) == 3
    reader().kill()
    reader().wait()
    assert read_in_process(abs, -3) == 3


def test_a_forked_process_has_its_own() -> None:
    assert read_in_process(abs, -3) == 3
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(process_of_the_reader) != reader().pid
    assert read_in_process(abs, -3) == 3


def process_of_the_reader() -> int:
    """As a worker of a data loader: a daemon, which may not have children of multiprocessing."""
    assert read_in_process(abs, -4) == 4
    return reader().pid


def test_time_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder_process, "SECONDS", 0.05)
    with pytest.raises(ImageError, match="takes more time or memory"):
        read_in_process(eval, "sum(range(10**12))")


def test_memory_is_limited() -> None:
    with pytest.raises(ImageError, match="takes more time or memory"):
        read_in_process(eval, "[bytes(10**7) for _ in range(10**6)]", memory=200 * 1024**2)
    assert read_in_process(abs, -3) == 3


def test_what_one_file_took_does_not_count_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder_process, "MEMORY", 200 * 1024**2)
    assert len(read_in_process(bytes, 300 * 1024**2, memory=1024**3)) == 300 * 1024**2
    assert read_in_process(time.sleep, 0.2, memory=200 * 1024**2) is None
    read_in_process(eval, "setattr(__import__('sys'), 'kept', bytearray(b'1') * 300 * 1024**2)", memory=1024**3)
    first = reader()
    assert read_in_process(time.sleep, 0.2, memory=200 * 1024**2) is None, "a new process"
    assert first.poll() is not None and reader() is not first


def test_a_relative_path_is_that_of_the_folder_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here.txt").write_text("here")
    read_in_process(Path.exists, tmp_path)
    monkeypatch.chdir(tmp_path)
    assert read_in_process(Path.read_text, Path("here.txt")) == "here"
