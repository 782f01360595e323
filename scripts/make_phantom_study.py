"""Make a study folder for the MONAI Label server: simulated hand radiographs, none of them annotated.

The images lie flat in the folder, as the server wants them. Their exact landmarks are in its subfolder ``truth``, where
the server does not look: ``landmarks.csv`` of all images, and one point list for 3D Slicer per image, which can be
saved as its annotation. Landmarks are the same as those of ``make_phantoms.py``.

Example:
    python scripts/make_phantom_study.py --output_dir output/study --count 5 --height 1200
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from make_phantoms import check_request
from phantoms.hand import LANDMARKS
from phantoms.radiograph import make_phantom
from phantoms.writing import write_dicom, write_landmark_table

from bundle.io.radiographs import read_radiograph
from bundle.records.console import CommandParser, command
from bundle.records.landmarks import LandmarkSet
from bundle.writers.slicer_markups import annotation_document


def make_study(output_dir: Path, count: int, height: int, seed: int) -> None:
    """Write the study.

    Args:
        output_dir: the folder; made where missing, images of the same name are replaced.
        count: number of images.
        height: rows of each in pixels.
        seed: seed of the set.
    """
    truth, points = output_dir / "truth", {}
    truth.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        phantom = make_phantom(seed, index, height)
        image = output_dir / f"phantom_{index:03d}.dcm"
        write_dicom(image, phantom, seed, index)
        points[image.stem] = phantom.landmarks
        document = annotation_document(LandmarkSet(LANDMARKS, phantom.landmarks), read_radiograph(image), image.stem)
        (truth / f"{image.stem}.mrk.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    write_landmark_table(truth / "landmarks.csv", points)


@command
def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = CommandParser(__doc__)
    parser.add_argument("--output_dir", type=Path, required=True, help="folder to write the study to")
    parser.add_argument("--count", type=int, default=5, help="number of images (default 5)")
    parser.add_argument("--height", type=int, default=1200, help="image height in pixels (default 1200)")
    parser.add_argument("--seed", type=int, default=0, help="seed; the same seed gives the same files (default 0)")
    args = parser.parse_args(argv)
    check_request(args.output_dir, args.count, 1000, args.height, args.seed)
    make_study(args.output_dir, args.count, args.height, args.seed)


if __name__ == "__main__":
    raise SystemExit(main())
