"""Make a sample set: simulated hand radiographs with exactly known landmarks, as DICOM files and landmark tables.

Each image is computed by Beer-Lambert attenuation through a posed three-dimensional hand of its own. Written are
``template/phantom_000.dcm`` with ``template/landmarks.csv`` (name,x,y), the query images ``images/phantom_001.dcm``
and on, and their landmarks in ``landmarks.csv`` (image,x1,y1,x2,y2,...). Coordinates are (x, y) = (column, row) in
pixels, 0-based, whole numbers at pixel centres. The same seed and height give the same bytes.

Example:
    python scripts/make_phantoms.py --output_dir sample --count 8 --height 1200 --seed 0
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from phantoms.anatomy import LANDMARKS
from phantoms.scene import make_phantom
from phantoms.writing import write_dicom, write_landmark_table, write_template_landmarks
from tqdm import tqdm

HEIGHTS = (128, 8192)
MAX_COUNT = 1_000_000


def make_sample(output_dir: Path, count: int, height: int, seed: int) -> None:
    """Write the template and ``count`` query images with their landmarks.

    Args:
        output_dir: folder of the sample set; made where missing. Files of an earlier sample set in it are replaced,
            those of images beyond ``count`` removed, and all other files left alone.
        count: number of query images.
        height: rows of each image in pixels.
        seed: seed of the set; image k depends on seed, k and height only.
    """
    template, images = output_dir / "template", output_dir / "images"
    template.mkdir(parents=True, exist_ok=True)
    images.mkdir(exist_ok=True)
    for file in own_files(output_dir):
        file.unlink()
    digits = max(3, len(str(count)))
    rows = []
    for index in tqdm(range(count + 1), desc="phantoms", unit="image"):
        phantom = make_phantom(seed, index, height)
        name = f"phantom_{index:0{digits}d}" if index else "phantom_000"
        write_dicom((images if index else template) / f"{name}.dcm", phantom, seed, index)
        if index:
            rows.append((name, phantom.landmarks))
        else:
            write_template_landmarks(template / "landmarks.csv", LANDMARKS, phantom.landmarks)
    write_landmark_table(output_dir / "landmarks.csv", rows, len(LANDMARKS))


def own_files(output_dir: Path) -> list[Path]:
    """Files in ``output_dir`` that this script wrote, or would write over."""
    patterns = ("template/phantom_*.dcm", "template/landmarks.csv", "images/phantom_*.dcm", "landmarks.csv")
    return sorted(file for pattern in patterns for file in output_dir.glob(pattern) if file.is_file())


def build_parser() -> argparse.ArgumentParser:
    """Command line of the script."""
    parser = argparse.ArgumentParser(description="Make simulated hand radiographs with exactly known landmarks.")
    parser.add_argument("--output_dir", type=Path, required=True, help="folder to write the sample set to")
    parser.add_argument("--count", type=int, default=8, help="number of query images, beside the template (default 8)")
    parser.add_argument("--height", type=int, default=1200, help="image height in pixels (default 1200)")
    parser.add_argument("--seed", type=int, default=0, help="seed; the same seed gives the same files (default 0)")
    parser.add_argument("--force", action="store_true", help="replace a sample set that lies in output_dir already")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; bad arguments end with exit status 2 and a message that names argument and value."""
    parser = build_parser()
    args = parser.parse_args(argv)
    if not 1 <= args.count <= MAX_COUNT:
        parser.error(f"--count is {args.count}: expected a whole number from 1 to {MAX_COUNT}")
    if not HEIGHTS[0] <= args.height <= HEIGHTS[1]:
        parser.error(f"--height is {args.height}: expected {HEIGHTS[0]} to {HEIGHTS[1]} pixels")
    if args.seed < 0:
        parser.error(f"--seed is {args.seed}: expected a whole number of at least 0")
    for folder in (args.output_dir, args.output_dir / "template", args.output_dir / "images"):
        if folder.exists() and not folder.is_dir():
            parser.error(f"--output_dir is {args.output_dir}: expected a folder, but {folder} is a file")
    if own_files(args.output_dir) and not args.force:
        parser.error(f"--output_dir is {args.output_dir}: it holds a sample set already; give --force to replace it")
    make_sample(args.output_dir, args.count, args.height, args.seed)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
