"""Measurements in processes of their own, so that the memory of one is not that of another."""

import multiprocessing
import re
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

Value = TypeVar("Value")


def apart(function: Callable[..., Value], *arguments: object) -> tuple[Value, float]:
    """Call a function in a new process: what it returns, and the peak of that process's resident memory in GB."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_with_peak, function, arguments).result()


def _with_peak(function: Callable[..., Value], arguments: tuple[object, ...]) -> tuple[Value, float]:
    value = function(*arguments)
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
    return value, int(peak[1]) * 1024 / 1e9 if peak else float("nan")


def with_seconds(function: Callable[..., Value], *arguments: object) -> tuple[Value, float]:
    """What a call returns, and its seconds of processor time in all threads."""
    start = time.process_time()
    value = function(*arguments)
    return value, time.process_time() - start
