"""Make a study folder for the MONAI Label server: simulated hand radiographs, none of them annotated.

The images lie flat in the folder, as the server wants them. Their exact landmarks are in its subfolder ``truth``, where
the server does not look: ``landmarks.csv`` of all images, and one point list for 3D Slicer an image, which can be
saved as its annotation. Landmarks are the same as those of ``make_phantoms.py``.

Example:
    python scripts/make_phantom_study.py --output_dir output/study --count 5 --height 1200
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from make_phantoms import HEIGHTS, make_sample

from bundle.io.landmark_files import read_landmarks
from bundle.io.radiographs import read_radiograph
from bundle.records.landmarks import LandmarkSet
from label_server.annotations import point_list


def make_study(output_dir: Path, count: int, height: int, seed: int) -> None:
    """Write the study.

    Args:
        output_dir: the folder; made where missing, images of the same name are replaced.
        count: number of images.
        height: rows of each in pixels.
        seed: seed of the set.
    """
    truth = output_dir / "truth"
    truth.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made:
        sample = Path(made)
        make_sample(sample, count - 1, height, seed)
        template = sample / "template" / "phantom_000.dcm"
        points = {"phantom_000": read_landmarks(sample / "template" / "landmarks.csv", read_radiograph(template))}
        names = points["phantom_000"].names
        with (sample / "landmarks.csv").open(encoding="utf-8", newline="") as file:
            for image, *values in list(csv.reader(file))[1:]:
                points[image] = LandmarkSet(names, np.array(values, dtype=np.float64).reshape(-1, 2))
        for path in (template, *(sample / "images").iterdir()):
            target = output_dir / path.name
            target.write_bytes(path.read_bytes())
            document = point_list(points[path.stem], read_radiograph(target), path.stem)
            text = json.dumps(document, indent=2)
            (truth / f"{path.stem}.mrk.json").write_text(f"{text}\n", encoding="utf-8")
    with (truth / "landmarks.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", *(f"{axis}{k}" for k in range(1, len(names) + 1) for axis in "xy")])
        writer.writerows([image, *found.points.ravel()] for image, found in sorted(points.items()))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; bad arguments end with exit status 2 and a message that names argument and value."""
    parser = argparse.ArgumentParser(description="Make a study folder of simulated hands for the MONAI Label server.")
    parser.add_argument("--output_dir", type=Path, required=True, help="folder to write the study to")
    parser.add_argument("--count", type=int, default=5, help="number of images (default 5)")
    parser.add_argument("--height", type=int, default=1200, help="image height in pixels (default 1200)")
    parser.add_argument("--seed", type=int, default=0, help="seed; the same seed gives the same files (default 0)")
    args = parser.parse_args(argv)
    if not 2 <= args.count <= 1000:
        parser.error(f"--count is {args.count}: expected a whole number from 2 to 1000")
    if not HEIGHTS[0] <= args.height <= HEIGHTS[1]:
        parser.error(f"--height is {args.height}: expected {HEIGHTS[0]} to {HEIGHTS[1]} pixels")
    if args.seed < 0:
        parser.error(f"--seed is {args.seed}: expected a whole number of at least 0")
    if args.output_dir.exists() and not args.output_dir.is_dir():
        parser.error(f"--output_dir is {args.output_dir}: expected a folder, but it is a file")
    make_study(args.output_dir, args.count, args.height, args.seed)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
