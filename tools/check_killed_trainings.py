r"""Kill a training at random moments, start it again with the same command, and check that little was lost.

The training is run once to its end, then killed (SIGKILL) as often as wanted; whenever it comes to its end, its model
is compared with that of the first run, and it begins anew. Moments are of processor time, which other work on the
machine does not change. What a kill costs is measured twice: as the seconds since something was kept, or since the
process was started, and as processor time: that of all starts beyond that of the training itself, start-up included.
Figures are printed and written as JSON; the exit status is 1 where a model differs.

Example:
    python -m tools.check_killed_trainings --output_dir /tmp/killed --kills 10 --seed 0 -- \
        --config_file configs/train.json --template_image 125.jpg --template_landmarks landmarks.csv
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import torch

from bundle.model.checkpoint import read_checkpoint
from bundle.records.console import CommandParser, command

ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Start:
    """One start of the training.

    Attributes:
        killed: whether it was killed; else it came to its end.
        seconds: how long it ran.
        cpu_seconds: processor time that it took.
        since_kept: seconds between the last thing that was kept, or the start, and the kill.
        kept: what that was; empty where the start kept nothing.
        taken_over: what it said that it takes over.
    """

    killed: bool
    seconds: float
    cpu_seconds: float
    since_kept: float
    kept: str
    taken_over: list[str]


def run_once(words: Sequence[str], folder: Path, kill_after: float) -> Start:
    """Start the training; kill it after some processor time, unless it has come to its end by then."""
    line = [sys.executable, "-m", "monai.bundle", "run", "training", *words]
    line += ["--output_dir", str(folder / "training"), "--model_path", str(folder / "model.pt")]
    folder.mkdir(parents=True, exist_ok=True)
    began = time.time()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(line, cwd=ROOT, stdout=log, stderr=log, env=os.environ | {"PYTHONUNBUFFERED": "1"})
        pid, status, usage = 0, 0, None
        while not pid:
            if sum(psutil.Process(process.pid).cpu_times()[:2]) >= kill_after:
                process.send_signal(signal.SIGKILL)
            time.sleep(0.05)
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
    ended = time.time()
    assert usage is not None
    said = (folder / "log").read_text(encoding="utf-8", errors="replace")
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, -signal.SIGKILL):
        raise RuntimeError(f"the training ended with status {code}:\n{said[-3000:]}")
    kept = max((folder / "training").rglob("*.pt"), key=lambda path: path.stat().st_mtime, default=None)
    at = kept.stat().st_mtime if kept is not None else 0.0
    return Start(
        killed=code != 0,
        seconds=round(ended - began, 1),
        cpu_seconds=round(usage.ru_utime + usage.ru_stime, 1),
        since_kept=round(ended - max(at, began), 1),
        kept=kept.name if kept is not None and at > began else "",
        taken_over=[one for one in said.splitlines() if one.startswith("continuing")],
    )


def learned(model: Path) -> dict[str, torch.Tensor]:
    """Everything that a model has learned."""
    checkpoint = read_checkpoint(model)
    more = {} if checkpoint.learned is None else checkpoint.learned.tensors()
    return {**checkpoint.decoders, **more}


def same(one: Path, other: Path) -> bool:
    """Whether two models have learned the same, to the last bit."""
    first, second = learned(one), learned(other)
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def build_parser() -> CommandParser:
    """Command line of the tool."""
    parser = CommandParser(__doc__)
    parser.add_argument("--output_dir", type=Path, required=True, help="a new folder for trainings and models")
    parser.add_argument("--kills", type=int, default=10, help="how often the training is killed (default 10)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments (default 0)")
    parser.add_argument("words", nargs="+", help="after --, the options of `run training`, without its outputs")
    return parser


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    args = build_parser().parse_args(argv)
    whole = run_once(args.words, args.output_dir / "whole", float("inf"))
    print(f"without kills: {whole.seconds} s, {whole.cpu_seconds} s of processor time", flush=True)
    draw, starts, models = random.Random(args.seed), [], []
    while sum(start.killed for start in starts) < args.kills or starts[-1].killed:
        kills_left = args.kills - sum(start.killed for start in starts)
        moment = draw.uniform(0, whole.cpu_seconds) if kills_left else float("inf")
        starts.append(run_once(args.words, args.output_dir / "killed", moment))
        print(json.dumps(asdict(starts[-1])), flush=True)
        if not starts[-1].killed:
            model = args.output_dir / "killed" / "model.pt"
            models.append(same(args.output_dir / "whole" / "model.pt", model))
            model.unlink()
    cpu = sum(start.cpu_seconds for start in starts) - len(models) * whole.cpu_seconds
    report = {
        "whole": asdict(whole),
        "starts": [asdict(start) for start in starts],
        "largest_since_kept": max(start.since_kept for start in starts if start.killed),
        "cpu_seconds_per_kill": round(cpu / args.kills, 1),
        "models": len(models),
        "models_that_differ": models.count(False),
    }
    (args.output_dir / "report.json").write_text(json.dumps(report, indent=4) + "\n", encoding="utf-8")
    print(json.dumps({key: report[key] for key in list(report)[2:]}, indent=4))
    return int(not all(models))


if __name__ == "__main__":
    raise SystemExit(main())
