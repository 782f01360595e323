"""Commands of their own at the price of a fork: what all of them import is imported once.

The forks come from a process that has imported and computed nothing: PyTorch refuses to train in the fork of a process
that has trained itself.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["bundle.training", "bundle.handlers", "tests.workflows.running"])


def run_forked(module: str, words: Sequence[str], folder: Path, log: Path) -> subprocess.CompletedProcess[str]:
    """Run ``python -m MODULE WORDS`` in a process of its own, as the interpreter would.

    Args:
        module: the module, or the path of a script.
        words: its command line.
        folder: the working directory.
        log: a folder for what the command says.
    """
    process = FORKS.Process(target=_become, args=(module, words, folder, log, dict(os.environ)))
    process.start()
    process.join()
    return subprocess.CompletedProcess(
        [module, *words],
        process.exitcode or 0,
        *((log / name).read_text(encoding="utf-8", errors="replace") for name in ("out", "err")),
    )


def _become(module: str, words: Sequence[str], folder: Path, log: Path, environment: dict[str, str]) -> None:
    status = 2
    try:
        os.environ.clear()
        os.environ.update(environment)
        torch.set_num_threads(1)  # as in this process, for results that can be compared
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(log / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
        sys.excepthook = sys.__excepthook__
        os.chdir(folder)
        sys.argv = [module, *words]
        run = runpy.run_path if module.endswith(".py") else runpy.run_module
        try:
            try:
                run(module, run_name="__main__", **({} if module.endswith(".py") else {"alter_sys": True}))
                status = 0
            except SystemExit:
                raise
            except BaseException:
                sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
                status = 1
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)
