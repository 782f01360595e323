"""Make a sample set: simulated hand radiographs with exactly known landmarks, as DICOM files and landmark tables.

Each image is computed by Beer-Lambert attenuation through a posed hand of its own. Written are
``template/phantom_000.dcm`` with ``template/landmarks.csv`` (name,x,y), the query images ``images/phantom_001.dcm``
and on, and their landmarks in ``landmarks.csv`` (image,x1,y1,x2,y2,...). Coordinates are (x, y) = (column, row) in
pixels, 0-based, whole numbers at pixel centres. The same seed and height give the same bytes.

With --study it is a folder for the workbench or the MONAI Label server instead: the images ``phantom_000.dcm`` and on,
none of them annotated, and in its subfolder ``truth``, where neither looks, ``landmarks.csv`` of all images and a point
list for 3D Slicer of each, which can be saved as its annotation.

Example:
    python scripts/make_phantoms.py --output_dir sample --count 8 --height 1200 --seed 0
    python scripts/make_phantoms.py --study --output_dir output/study --count 5
"""

from collections.abc import Sequence
from pathlib import Path

from phantoms.hand import LANDMARKS
from phantoms.radiograph import make_phantom
from phantoms.writing import write_dicom, write_landmark_table, write_landmarks
from tqdm import tqdm

from bundle.errors import ConfigError
from bundle.io.radiographs import read_radiograph
from bundle.records.console import CommandParser, command
from bundle.records.landmarks import LandmarkSet
from bundle.writers.files import write_json
from bundle.writers.slicer_markups import annotation_document

HEIGHTS = (128, 8192)
MAX_COUNT = 1_000_000

#: The files of a sample set, and those of a study.
SAMPLE_FILES = ("template/phantom_*.dcm", "template/landmarks.csv", "images/phantom_*.dcm", "landmarks.csv")
STUDY_FILES = ("phantom_*.dcm", "truth/phantom_*.mrk.json", "truth/landmarks.csv")


def make_sample(output_dir: Path, count: int, height: int, seed: int) -> None:
    """Write the template and ``count`` query images with their landmarks.

    Args:
        output_dir: folder of the sample set; made where missing.
        count: number of query images.
        height: rows of each image in pixels.
        seed: seed of the set; image k depends on seed, k and height only.
    """
    template, images = output_dir / "template", output_dir / "images"
    template.mkdir(parents=True, exist_ok=True)
    images.mkdir(exist_ok=True)
    digits, points = max(3, len(str(count))), {}
    for index in tqdm(range(count + 1), desc="phantoms", unit="image"):
        phantom = make_phantom(seed, index, height)
        name = f"phantom_{index:0{digits}d}" if index else "phantom_000"
        write_dicom((images if index else template) / f"{name}.dcm", phantom, seed, index)
        if index:
            points[name] = phantom.landmarks
        else:
            write_landmarks(template / "landmarks.csv", phantom.landmarks)
    write_landmark_table(output_dir / "landmarks.csv", points)


def make_study(output_dir: Path, count: int, height: int, seed: int) -> None:
    """Write ``count`` images into a folder, and their landmarks into its subfolder; see :func:`make_sample`."""
    truth, points = output_dir / "truth", {}
    truth.mkdir(parents=True, exist_ok=True)
    for index in tqdm(range(count), desc="phantoms", unit="image"):
        phantom = make_phantom(seed, index, height)
        image = output_dir / f"phantom_{index:03d}.dcm"
        write_dicom(image, phantom, seed, index)
        points[image.stem] = phantom.landmarks
        document = annotation_document(LandmarkSet(LANDMARKS, phantom.landmarks), read_radiograph(image), image.stem)
        write_json(truth / f"{image.stem}.mrk.json", document)
    write_landmark_table(truth / "landmarks.csv", points)


def check_request(folders: Sequence[Path], count: int, height: int, seed: int) -> None:
    """Refuse what cannot be made.

    Raises:
        ConfigError: naming the argument and its value.
    """
    for name, value, low, high in (
        ("count", count, 1, MAX_COUNT),
        ("height", height, *HEIGHTS),
        ("seed", seed, 0, 2**32),
    ):
        if not low <= value <= high:
            raise ConfigError(f"--{name} is {value}, expected a whole number from {low} to {high}.")
    for folder in folders:
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"--output_dir is {folders[0]}, expected a folder, but {folder} is a file.")


@command
def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = CommandParser(__doc__)
    parser.add_argument("--output_dir", type=Path, required=True, help="folder to write to")
    parser.add_argument("--count", type=int, default=8, help="number of images, besides a template (default 8)")
    parser.add_argument("--height", type=int, default=1200, help="image height in pixels (default 1200)")
    parser.add_argument("--seed", type=int, default=0, help="seed; the same seed gives the same files (default 0)")
    parser.add_argument("--study", action="store_true", help="write a folder of images to annotate instead")
    parser.add_argument("--force", action="store_true", help="replace a set that lies in output_dir already")
    args = parser.parse_args(argv)
    output_dir, own = args.output_dir, STUDY_FILES if args.study else SAMPLE_FILES
    folders = [output_dir, *(output_dir / name for name in (["truth"] if args.study else ["template", "images"]))]
    check_request(folders, args.count, args.height, args.seed)
    earlier = sorted(file for pattern in own for file in output_dir.glob(pattern) if file.is_file())
    if earlier and not args.force:
        raise ConfigError(
            f"--output_dir is {output_dir}, where {earlier[0]} and {len(earlier) - 1} other files of such a set are "
            "already: give --force to replace them, or another folder."
        )
    for file in earlier:
        file.unlink()
    make = make_study if args.study else make_sample
    make(output_dir, args.count, args.height, args.seed)


if __name__ == "__main__":
    raise SystemExit(main())
