"""A run of the command line as users start it: seconds per image with its start, all writers and the report."""

import contextlib
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import psutil

from bundle import CONFIGS
from bundle.errors import BundleError


class Row(NamedTuple):
    """One run.

    Attributes:
        processes: how many share the images.
        cores: how many they may use.
        images: how many there are.
        seconds: per image, all of the run divided by the images.
        processor_seconds: the same of all processes together.
        pss_gb: peak of the memory of all processes, what they share counted once (PSS).
    """

    processes: int
    cores: int
    images: int
    seconds: float
    processor_seconds: float
    pss_gb: float


def measure(model: Path, images: Path, processes: int, cores: int) -> Row:
    """Infer on a folder of images by processes that may use the first cores of the machine.

    Raises:
        BundleError: when the run fails.
    """
    count = sum(path.is_file() for path in images.iterdir())
    with tempfile.TemporaryDirectory() as folder:
        line = [sys.executable, "-m", "monai.bundle", "run", "inference", "--config_file", "configs/inference.json"]
        line += ["--model_path", str(model.resolve()), "--dataset_dir", str(images.resolve()), "--output_dir", folder]
        used, start, peak = _processor_seconds(), time.monotonic(), 0.0
        run = subprocess.Popen([*line, "--processes", str(processes)], cwd=CONFIGS.parent)
        psutil.Process(run.pid).cpu_affinity(range(cores))
        while run.poll() is None:
            peak = max(peak, _shared_memory(psutil.Process(run.pid)))
            time.sleep(0.5)
        seconds = time.monotonic() - start
    if run.returncode:
        raise BundleError(f"the run over {processes} processes ended with status {run.returncode}.")
    return Row(processes, cores, count, seconds / count, (_processor_seconds() - used) / count, peak / 1e9)


def _processor_seconds() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def _shared_memory(process: psutil.Process) -> float:
    """PSS in bytes of a process and all below it; of what ends in the meantime, nothing."""
    total = 0.0
    with contextlib.suppress(psutil.NoSuchProcess):
        for one in [process, *process.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                total += one.memory_full_info().pss
    return total
