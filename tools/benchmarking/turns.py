"""The default and ``fast`` of this checkout beside those of another one, by the same commands, in turns.

Each round runs inference in both checkouts, without writers and report, over one image and over several: the
difference is the time of an image, reading included; one image less that difference, and less ``import monai.bundle``
alone, which Python does not take apart at its end, is the start-up. Medians of the rounds and of their ratios are
printed, and how far the points lie apart.

Example:
    python -m tools.benchmarking.turns --data isbi2015 --against ../old-checkout
"""

import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bundle.records.console import CommandParser, command

ROOT = Path(__file__).resolve().parents[2]
PRESETS = {"default": "configs/inference.json", "fast": "['configs/inference.json','configs/fast.json']"}


class Cost(NamedTuple):
    """What a command took: seconds on the clock, seconds of the processor, and its largest memory in MB."""

    wall: float
    processor: float
    memory: float


def cost_of(checkout: Path, words: Sequence[str]) -> Cost:
    """Run Python in a checkout, with its children."""
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    start = time.perf_counter()
    child = subprocess.Popen([sys.executable, *words], cwd=checkout, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(words)} failed in {checkout}.")
    return Cost(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def inference(checkout: Path, preset: str, data: Path, template: str, images: Sequence[Path], out: Path) -> Cost:
    """One run of a preset; ``out`` is a folder that is not there yet."""
    listed = out.with_suffix(".json")
    listed.write_text(json.dumps([str(image) for image in images]), encoding="utf-8")
    settings = {
        "config_file": PRESETS[preset],
        "template_image": data / "images" / f"{template}.jpg",
        "template_landmarks": data / "landmarks_mean.csv",
        "pixel_spacing": 0.1,
        "dataset_dir": listed,
        "output_dir": out,
        "writers": "[]",
        "report": False,
    }
    words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    return cost_of(checkout, ["-m", "monai.bundle", "run", "inference", *words])


def points_of(out: Path) -> np.ndarray:
    """The points of a run's table, (n, 2)."""
    with (out / "landmarks.csv").open(encoding="utf-8", newline="") as file:
        cells = [float(cell or "nan") for row in list(csv.reader(file))[1:] for cell in row[1:]]
    return np.array(cells).reshape(-1, 2)


@command
def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    made = CommandParser(__doc__)
    made.add_argument("--data", type=Path, required=True, help="folder with images/001.jpg ... and landmarks_mean.csv")
    made.add_argument("--against", type=Path, required=True, help="another checkout")
    made.add_argument("--template", default="125", help="the annotated image")
    made.add_argument("--images", type=int, default=20, help="odd images of a run")
    made.add_argument("--rounds", type=int, default=5)
    options = made.parse_args(arguments)
    data, checkouts = options.data.resolve(), (options.against.resolve(), ROOT)
    odd = [image for image in sorted((data / "images").glob("*.jpg")) if int(image.stem) % 2 == 1]
    images = [image for image in odd if image.stem != options.template][: options.images + 1]
    for preset in PRESETS:
        rounds: list[list[list[float]]] = []
        with tempfile.TemporaryDirectory() as folder:
            for number in range(options.rounds):
                rounds.append([])
                for checkout in checkouts:
                    out = Path(folder) / f"{number}-{checkout is ROOT}"
                    bare = cost_of(checkout, ["-c", "import os, monai.bundle; os._exit(0)"])
                    one, all_ = (
                        inference(
                            checkout, preset, data, options.template, some, out.with_name(f"{out.name}-{len(some)}")
                        )
                        for some in (images[:1], images)
                    )
                    wall, processor = ((b - a) / (len(images) - 1) for a, b in zip(one[:2], all_[:2]))
                    start = one.wall - wall - bare.wall
                    rounds[-1].append([wall, processor, start, one.memory - bare.memory])
            apart = [points_of(Path(folder) / f"0-{ours}-{len(images)}") for ours in (False, True)]
        for checkout, costs in zip(checkouts, zip(*rounds)):
            wall, processor, start, memory = (statistics.median(values) for values in zip(*costs))
            print(
                f"{preset} of {checkout}: {wall:.3f} s per image ({processor:.3f} s of the processor), beyond import "
                f"monai.bundle {start:.2f} s and {memory:.0f} MB to start"
            )
        ratios = [[then / now for then, now in zip(*sides)] for sides in rounds]
        wall, processor = (statistics.median(values) for values in list(zip(*ratios))[:2])
        distance = np.linalg.norm(apart[0] - apart[1], axis=1)
        print(
            f"{preset}: {wall:.2f} times as fast ({processor:.2f} times by the processor); points lie "
            f"{np.nanmean(distance):.2f} px apart in the mean, {np.nanmedian(distance):.3f} in the median"
        )


if __name__ == "__main__":
    raise SystemExit(main())
