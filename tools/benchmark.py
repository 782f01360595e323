"""Measure the literal method and the product side by side: seconds per image and per training step, peak memory.

Each of the six measurements runs in a process of its own, so that the peak of one is not that of another. The literal
method is ``tests/reference/full_size.py``; where it would take too long, a part of it is done and scaled by the count
(``scaled_from``). Weights are random: they cost what trained ones cost.

Example:
    python -m tools.benchmark --encoder dino --device cpu --output output/benchmark.json
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from bundle.errors import BundleError
from bundle.records.console import CommandParser, command
from tools.benchmarking.methods import read_preset
from tools.benchmarking.tasks import IMAGE_SIZE, LANDMARKS, TASKS

ROOT = Path(__file__).resolve().parents[1]

METHODS = ("reference", "product")


def measure(encoder: str, device: str, task: str, method: str, repeats: int) -> dict[str, Any]:
    """One measurement, in this process."""
    target = torch.device(device)
    timing = TASKS[task][method](read_preset(encoder), target, repeats)
    peak = {"peak_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9}
    if target.type == "cuda":
        peak["peak_cuda_memory_gb"] = torch.cuda.max_memory_allocated(target) / 1e9
    return {"seconds": timing.seconds, "scaled_from": timing.scaled_from, **peak}


def measure_in_own_process(arguments: argparse.Namespace, task: str, method: str) -> dict[str, Any]:
    """One measurement, in a process of its own."""
    line = [sys.executable, "-m", "tools.benchmark", "--encoder", arguments.encoder, "--device", arguments.device]
    line += ["--repeats", str(arguments.repeats), "--only", task, method]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["the measurement ended without a word."])[-1]
        raise BundleError(last.removeprefix("error: "))
    return json.loads(done.stdout.strip().splitlines()[-1])


def summary(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Reference and product of one task as the report has them."""
    entry: dict[str, Any] = {}
    for method in METHODS:
        seconds = found[method]["seconds"]
        entry[f"{method}_s"] = statistics.median(seconds)
        entry[f"{method}_spread_s"] = [min(seconds), max(seconds)]
    entry["speedup"] = entry["reference_s"] / entry["product_s"]
    entry["scaled_from"] = {method: found[method]["scaled_from"] for method in METHODS if found[method]["scaled_from"]}
    for key in ("peak_memory_gb", "peak_cuda_memory_gb"):
        if key in found["product"]:
            entry[key] = found["product"][key]
            entry[f"reference_{key}"] = found["reference"][key]
    return entry


def table(report: dict[str, Any]) -> str:
    """The report as lines for the terminal."""
    lines = [f"{'':14s}{'reference s':>24s}{'product s':>24s}{'speed-up':>10s}{'peak GB':>9s}{'(reference)':>12s}"]
    for task in TASKS:
        entry = report[task]
        cells = [
            f"{entry[f'{method}_s']:.2f} ({' to '.join(f'{value:.2f}' for value in entry[f'{method}_spread_s'])})"
            for method in METHODS
        ]
        lines.append(
            f"{task:14s}{cells[0]:>24s}{cells[1]:>24s}{entry['speedup']:>9.1f}x{entry['peak_memory_gb']:>9.2f}"
            f"{entry['reference_peak_memory_gb']:>12.2f}"
        )
    return "\n".join(lines)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = CommandParser(__doc__)
    parser.add_argument("--encoder", default="dino", help="dino (the paper's), xfeat, or a plain transformer of timm")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--output", type=Path, help="JSON file of the report")
    parser.add_argument("--repeats", type=int, default=2, help="measurements of each figure")
    parser.add_argument("--only", nargs=2, metavar=("TASK", "METHOD"), help="one measurement, printed as JSON")
    found = parser.parse_args(arguments)
    if found.repeats < 1:
        parser.error(f"--repeats is {found.repeats}, expected at least 1")
    if found.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error(f"--device is {found.device}, but no CUDA device is available: say cpu")
    if found.only and (found.only[0] not in TASKS or found.only[1] not in METHODS):
        parser.error(f"--only is {found.only}, expected one of {', '.join(TASKS)} and one of {', '.join(METHODS)}")
    return found


@command
def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    options = parse(arguments)
    if options.only:
        task, method = options.only
        print(json.dumps(measure(options.encoder, options.device, task, method, options.repeats)))
        return
    read_preset(options.encoder)
    report: dict[str, Any] = {
        "encoder": options.encoder,
        "device": options.device,
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "image_size": list(IMAGE_SIZE),
        "landmarks": LANDMARKS,
        "repeats": options.repeats,
    }
    if options.device.startswith("cuda"):
        report["accelerator"] = torch.cuda.get_device_name(torch.device(options.device))
    for task in TASKS:
        print(f"measuring {task} ...", file=sys.stderr, flush=True)
        report[task] = summary({method: measure_in_own_process(options, task, method) for method in METHODS})
    print(table(report))
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(report, indent=4) + "\n", encoding="utf-8")
        print(f"written to {options.output}")


if __name__ == "__main__":
    raise SystemExit(main())
