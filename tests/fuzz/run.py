"""Reads thousands of changed files, each of which must be read or refused with one sentence.

``python -m tests.fuzz --inputs 20000 --seed 0`` from the project's folder. What was neither read nor refused is kept in
a folder, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from tests.fuzz.corpus import make_corpus
from tests.fuzz.worker import FINE, make_input

ROOT = Path(__file__).parents[2]

#: Seconds without a word from the process that reads, after which it waits for something that never comes. On a machine
#: that has other work to do, loading the readers alone can take minutes.
PATIENCE = 1800


@dataclass
class Report:
    """What came of all inputs.

    Attributes:
        seed: where the inputs came from.
        counts: how many were ``read``, were ``refused``, ``ended`` the process of their decoder, or led to a ``crash``,
            a ``hang``, too much ``memory`` or a bad ``sentence``.
        findings: the inputs that were neither read nor refused, with what happened.
        peak_mb: the most memory that reading took.
    """

    seed: int
    counts: Counter[str] = field(default_factory=Counter)
    findings: dict[int, str] = field(default_factory=dict)
    peak_mb: int = 0


def fuzz(seed: int, inputs: int) -> Report:
    """Read the inputs 0 to ``inputs`` - 1 of a seed."""
    report, first = Report(seed), 0
    with tqdm(total=inputs, desc="fuzzing", unit="input", mininterval=1.0) as bar:
        while first < inputs:
            first = _run_worker(report, seed, first, inputs, bar)
    return report


def _run_worker(report: Report, seed: int, first: int, last: int, bar: tqdm) -> int:
    """Let a process read inputs until it is done or dies; returns the input to go on with."""
    line = [sys.executable, "-m", "tests.fuzz.worker", str(seed), str(first), str(last)]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True, errors="replace")
        timer = _timer(process)
        current, ended = -1, first
        assert process.stdout is not None
        for word in process.stdout:
            timer.cancel()
            timer = _timer(process)
            kind, _, rest = word.rstrip("\n").partition(" ")
            if kind == "start":
                current = int(rest)
            elif kind == "end":
                number, _, said = rest.partition(" ")
                ended = int(number) + 1
                _note(report, int(number), said)
                bar.update()
            elif kind == "peak":
                report.peak_mb = max(report.peak_mb, int(rest))
        timer.cancel()
        status = process.wait()
        errors.seek(0)
        told = errors.read()[-500:]
    if status == 0 and ended == last:
        return last
    if current < ended:
        raise RuntimeError(f"the process that reads could not start: {told}")
    hang = status in (-signal.SIGPROF, -signal.SIGKILL)
    bar.update()
    _note(report, current, "hang" if hang else f"crash status {status}: {told!r}")
    return current + 1


def _timer(process: subprocess.Popen[str]) -> threading.Timer:
    timer = threading.Timer(PATIENCE, process.kill)
    timer.daemon = True
    timer.start()
    return timer


def _note(report: Report, index: int, said: str) -> None:
    kind = said.split(" ")[0]
    report.counts[kind] += 1
    if kind not in FINE:
        report.findings[index] = said
        tqdm.write(f"{index}: {said}")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Read changed files; none may crash, hang or take too much memory.")
    parser.add_argument("--inputs", type=int, default=20_000, help="how many (default 20000)")
    parser.add_argument("--seed", type=int, default=0, help="where they come from (default 0)")
    parser.add_argument("--findings", type=Path, default=Path("output/fuzz"), help="folder for what went wrong")
    args = parser.parse_args(argv)
    report = fuzz(args.seed, args.inputs)
    if report.findings:
        args.findings.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as name:
            corpus = make_corpus(Path(name))
        for index in report.findings:
            chosen, data = make_input(corpus, args.seed, index)
            (args.findings / f"{args.seed}-{index}{chosen.suffix}").write_bytes(data)
    print(json.dumps({"seed": args.seed, "inputs": args.inputs, **report.counts, "peak_mb": report.peak_mb}))
    return 1 if report.findings else 0
