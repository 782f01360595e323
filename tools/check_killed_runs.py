"""Infer on many small images, kill the run again and again, and check that nothing was lost, doubled or half written.

Simulated radiographs are warped into as many small images as wanted; pairs of them have one name in two folders, some
have long or foreign names, and a few files are broken. The run is killed (SIGKILL) at random moments and started again
with the same command. Its memory is measured all the while. The figures are printed and written as JSON; the exit
status is 1 where a check fails.

Example:
    python -m tools.check_killed_runs --output_dir /tmp/killed --images 10000 --kills 5 --seed 0
"""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image
from scipy.ndimage import affine_transform

from bundle.io.radiographs import read_radiograph
from bundle.records.console import CommandParser, command

ROOT = Path(__file__).resolve().parents[1]
SIDE = 96
BASES = 4
LANDMARKS = (0, 12, 24)
BROKEN = 5

#: A network and a matching that are quick on such images.
NETWORK = {"working_sides": [SIDE], "negative": False, "local_channels": 0}
MATCHING = {"grid": 32, "prior_rounds": 1, "local_weight": 0.0, "decoder_weight": 0.0}

#: Memory is compared after this many images of a start, when everything has been loaded.
WARM = 300


@dataclass
class Start:
    """One start of the command.

    Attributes:
        status: the exit status; negative where it was killed.
        seconds: how long it ran.
        done_before: images that earlier starts had done.
        done_after: images that were done when it ended.
        memory: resident memory, (images done, MB), about once a second.
    """

    status: int = 0
    seconds: float = 0.0
    done_before: int = 0
    done_after: int = 0
    memory: list[tuple[int, float]] = field(default_factory=list)


def make_images(folder: Path, count: int, seed: int) -> None:
    """Write the template and ``count`` different images, and a few files that are none."""
    sample = folder / "sample"
    script = [sys.executable, ROOT / "scripts" / "make_phantoms.py", "--output_dir", sample, "--seed", seed]
    subprocess.run([*map(str, script), "--count", str(BASES - 1), "--height", "128"], check=True, env=_environment())
    bases = [read_radiograph(path) for path in sorted(sample.rglob("*.dcm"), key=lambda path: path.name)]
    pixels = [255.0 * base.pixels for base in bases]
    (folder / "template").mkdir(parents=True)
    Image.fromarray(pixels[0].astype(np.uint8)).save(folder / "template" / "template.png")
    header, *rows = (sample / "template" / "landmarks.csv").read_text(encoding="utf-8").splitlines()
    text = "\n".join([header, *(rows[number] for number in LANDMARKS), ""])
    (folder / "template" / "template.csv").write_text(text, encoding="utf-8")
    draw = np.random.default_rng(seed)
    for index in range(count):
        target = folder / "images" / ("left" if index % 2 else "right") / f"{index // 1000:03d}" / f"{_name(index)}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        base = pixels[index % BASES]
        angle, zoom = draw.normal(0, 0.05), max(base.shape) / SIDE * draw.uniform(0.95, 1.1)
        matrix = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        offset = np.array(base.shape) / 2 - matrix @ np.array([SIDE, SIDE]) / 2 + draw.normal(0, 2, 2)
        warped = affine_transform(base, matrix, offset, (SIDE, SIDE), order=1) + draw.normal(0, 2, (SIDE, SIDE))
        Image.fromarray(warped.clip(0, 255).astype(np.uint8)).save(target)
    for index in range(BROKEN):
        (folder / "images" / f"broken_{index}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + draw.bytes(100 * index))


def _name(index: int) -> str:
    """The name of an image: the same for two of them, now and then long or foreign."""
    pair = index // 2
    if pair % 100 == 7:
        return f"{pair:06d}_Röntgen_手_{'é' * 20}"
    return f"{pair:06d}_{'long' * 55}" if pair % 100 == 8 else f"{pair:06d}"


def command_of(folder: Path) -> list[str]:
    """The command line of the run, as a user would type it."""
    settings: dict[str, Any] = {
        "config_file": "configs/inference.json",
        "template_image": folder / "template" / "template.png",
        "template_landmarks": folder / "template" / "template.csv",
        "dataset_dir": folder / "images",
        "output_dir": folder / "results",
        "network": NETWORK,
        "matching": MATCHING,
        "writers": ["json", "markups"],
        "device": "cpu",
    }
    options = [word for key, value in settings.items() for word in (f"--{key}", str(value))]
    return [sys.executable, "-m", "monai.bundle", "run", "inference", *options]


def done_images(folder: Path) -> int:
    """How many images the journal of the results has."""
    return len(list((folder / "results" / ".run").glob("*.json")))


def run_once(folder: Path, kill_at: int | None, delay: float, log: Path) -> Start:
    """Start the command; kill it ``delay`` seconds after ``kill_at`` images are done, or let it end."""
    start = Start(done_before=done_images(folder))
    began = time.monotonic()
    with log.open("ab") as out:
        process = subprocess.Popen(command_of(folder), cwd=ROOT, stdout=out, stderr=out, env=_environment())
        while process.poll() is None:
            done = done_images(folder)
            start.memory.append((done, psutil.Process(process.pid).memory_info().rss / 2**20))
            if kill_at is not None and done >= kill_at:
                time.sleep(delay)
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(1.0)
        start.status = process.wait()
    start.seconds = time.monotonic() - began
    start.done_after = done_images(folder)
    return start


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}


def half_files(folder: Path) -> list[str]:
    """Results that are not whole: JSON that cannot be read, or lacks landmarks."""
    wrong = []
    for path in (folder / "results").glob("[!.]*.json"):
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            points = document["markups"][0]["controlPoints"] if "markups" in document else document["landmarks"]
            if len(points) != len(LANDMARKS):
                wrong.append(path.name)
        except (ValueError, KeyError):
            wrong.append(path.name)
    return wrong


def check_results(folder: Path, count: int) -> dict[str, Any]:
    """What the finished run left, with the list of what is wrong with it."""
    results = folder / "results"
    wrong = [f"half written: {name}" for name in half_files(folder)]
    with (results / "landmarks.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    ids = [row[0] for row in rows]
    if len(rows) != count or len(set(ids)) != count:
        wrong.append(f"landmarks.csv has {len(rows)} rows of {len(set(ids))} images, expected {count}")
    if any(len(row) != len(header) for row in rows):
        wrong.append("landmarks.csv has rows of other lengths")
    documents = {path.name[: -len(".json")] for path in results.glob("*.json") if not path.name.endswith(".mrk.json")}
    if documents != set(ids):
        wrong.append(f"{len(documents ^ set(ids))} images are in the table or in files, but not in both")
    for row in rows:  # the table is put together from the journal, so it must say what the files say
        listed = json.loads((results / f"{row[0]}.json").read_text(encoding="utf-8"))["landmarks"]
        if [cell for one in listed for cell in (one["x"], one["y"])] != [float(cell) for cell in row[1:]]:
            wrong.append(f"{row[0]}: the table and the file differ")
    with (results / "errors.csv").open(encoding="utf-8", newline="") as file:
        failures = list(csv.DictReader(file))
    if len({row["file"] for row in failures}) != BROKEN or len(failures) != BROKEN:
        wrong.append(f"errors.csv has {len(failures)} rows, expected {BROKEN}")
    known = {f"{name}{ending}" for name in ids for ending in (".json", ".mrk.json")} | {
        "landmarks.csv",
        "poses.csv",
        "errors.csv",
    }
    strange = {path.name for path in results.iterdir()} - known
    if strange:
        wrong.append(f"files too many: {sorted(strange)[:5]}")
    return {"images": len(set(ids)), "rows": len(rows), "errors": len(failures), "wrong": wrong}


def memory_of(starts: Sequence[Start]) -> dict[str, Any]:
    """Growth of the memory within each start that did enough images, from the warm state to its end."""
    grown = []
    for start in starts:
        warm = [(done, memory) for done, memory in start.memory if done - start.done_before >= WARM]
        if len(warm) >= 8:
            part = max(2, len(warm) // 4)
            first, last = (float(np.median([memory for _, memory in side])) for side in (warm[:part], warm[-part:]))
            grown.append(
                {
                    "images": warm[-1][0] - warm[0][0],
                    "first_quarter_mb": round(first, 1),
                    "last_quarter_mb": round(last, 1),
                    "highest_mb": round(max(memory for _, memory in warm), 1),
                    "growth_percent": round(100 * (last / first - 1), 2),
                }
            )
    return {"starts": grown, "largest_growth_percent": max((one["growth_percent"] for one in grown), default=None)}


def build_parser() -> CommandParser:
    """Command line of the script."""
    parser = CommandParser(__doc__)
    parser.add_argument("--output_dir", type=Path, required=True, help="a new folder for images and results")
    parser.add_argument("--images", type=int, default=10_000, help="number of images (default 10000)")
    parser.add_argument("--kills", type=int, default=5, help="how often the run is killed (default 5)")
    parser.add_argument("--last", type=float, default=0.5, help="share of the images after the last kill (default 0.5)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the images and of the moments (default 0)")
    return parser


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.output_dir.exists() and any(args.output_dir.iterdir()):
        parser.error(f"--output_dir is {args.output_dir}: expected a folder that is new or empty")
    if args.images < 20 or args.kills < 0 or not 0 <= args.last < 1:
        parser.error("expected at least 20 images, no negative number of kills, and a share below 1")
    make_images(args.output_dir, args.images, args.seed)
    draw = random.Random(args.seed)
    moments = sorted(draw.randrange(1, int(args.images * (1 - args.last)) + 1) for _ in range(args.kills))
    log = args.output_dir / "run.log"
    starts, torn = [], []
    for moment in [*moments, None]:
        starts.append(run_once(args.output_dir, moment, draw.uniform(0, 2), log))
        torn += half_files(args.output_dir)
        print(f"start {len(starts)}: status {starts[-1].status}, {starts[-1].done_after} done", flush=True)
    report = {
        "images": args.images,
        "seed": args.seed,
        "killed": sum(start.status == -signal.SIGKILL for start in starts),
        "last_status": starts[-1].status,
        "done_when_killed": [start.done_after for start in starts[:-1]],
        "seconds": round(sum(start.seconds for start in starts), 1),
        "half_files_after_kills": len(torn),
        "results": check_results(args.output_dir, args.images) if starts[-1].status in (0, 1) else None,
        "memory": memory_of(starts),
    }
    text = json.dumps(report, indent=4)
    (args.output_dir / "report.json").write_text(text + "\n", encoding="utf-8")
    print(text)
    flat = report["memory"]["largest_growth_percent"]
    fine = report["results"] is not None and not report["results"]["wrong"] and not torn and starts[-1].status == 1
    return 0 if fine and (flat is None or flat <= 10) else 1


if __name__ == "__main__":
    raise SystemExit(main())
