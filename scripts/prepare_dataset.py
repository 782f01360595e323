r"""Turn a downloaded data set, or one's own annotations, into the data list that the bundle reads.

Nothing is downloaded and no image is copied (the stack of CL-Detection 2023 is cut into single images). Counts, sizes,
places of the landmarks and duplicates are checked. Written are dataset.json, a data list for each split
(training.json, testing.json) and landmarks.csv, with several readers also landmarks_<reader>.csv. docs/guide.md says
where each data set comes from and which layouts are read.

Example:
    python scripts/prepare_dataset.py isbi2015 --source DOWNLOAD --output data/isbi2015
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from datasets.aariz import read_aariz
from datasets.checks import Duplicate, check, drop_duplicates, find_duplicates, look_at
from datasets.cl_detection2023 import read_cl_detection2023
from datasets.coco import read_coco
from datasets.cvat import read_cvat
from datasets.files import DataSetError, Source
from datasets.folder import read_folder
from datasets.hand import read_hand
from datasets.isbi2015 import read_isbi2015
from datasets.labelme import read_labelme
from datasets.records import SPLITS, DataSet
from datasets.writing import write_data_set

from bundle.errors import one_line
from bundle.io.decoded import parse_spacing
from bundle.records.console import DONE, SOME_FAILED, CommandParser, command

READERS: dict[str, Callable[[Source], DataSet]] = {
    "isbi2015": read_isbi2015,
    "hand": read_hand,
    "cl_detection2023": read_cl_detection2023,
    "aariz": read_aariz,
    "folder": read_folder,
    "coco": read_coco,
    "labelme": read_labelme,
    "cvat": read_cvat,
}


def build_parser() -> CommandParser:
    """Command line of the script."""
    parser = CommandParser(__doc__)
    parser.add_argument("what", choices=sorted(READERS), help="data set or layout")
    parser.add_argument("--source", type=Path, required=True, help="folder with the unpacked download")
    parser.add_argument("--output", type=Path, required=True, help="folder to write the data list to")
    parser.add_argument("--drop_duplicates", action="store_true", help="leave out images that are there twice")
    parser.add_argument("--pixel_spacing", type=float, nargs="+", metavar="MM", help="mm a pixel where none is known")
    parser.add_argument("--split", choices=SPLITS, help="put all images into this split")
    parser.add_argument("--template", help="id of the image that is to be the template")
    return parser


def choose(data: DataSet, args: argparse.Namespace) -> DataSet:
    """The data set with the user's own spacing, split and template.

    Raises:
        ConfigError: when the spacing is no spacing.
        DataSetError: when there is no such template.
    """
    spacing = parse_spacing(args.pixel_spacing)
    images = [
        replace(image, spacing=image.spacing or spacing, split=args.split or image.split) for image in data.images
    ]
    if args.template is not None and args.template not in {image.image_id for image in images}:
        raise DataSetError(f"--template is {args.template!r}, but {data.name} has no such image: give one of its ids.")
    return replace(data, images=images, template=args.template or data.template)


def tell(data: DataSet, duplicates: Sequence[Duplicate], dropped: Sequence[str], remarks: Sequence[str]) -> str:
    """What was found, in lines for the terminal."""
    counts = ", ".join(
        f"{sum(image.split == split for image in data.images)} {split}"
        for split in SPLITS
        if any(image.split == split for image in data.images)
    )
    lines = [f"{data.title}", f"layout {data.layout}: {counts}; {len(data.landmark_names)} landmarks"]
    lines.append(f"readers: {', '.join(data.readers)}")
    lines.append(f"licence: {data.licence}")
    lines += [f"note: {remark}" for remark in remarks]
    if duplicates:
        across = sum(pair.across_splits for pair in duplicates)
        exact = sum(pair.exact for pair in duplicates)
        lines.append(f"note: {len(duplicates)} pairs of images are the same ({exact} exactly), {across} across splits:")
        lines.append("      " + ", ".join(f"{pair.first}={pair.second}" for pair in duplicates))
        lines.append(
            f"      left out: {', '.join(dropped)}" if dropped else "      give --drop_duplicates to leave them out"
        )
    return "\n".join(lines)


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 1 where some files could not be used, which errors.csv names."""
    parser = build_parser()
    args = parser.parse_args(argv)
    if not args.source.is_dir():
        parser.error(f"--source is {args.source}: expected a folder, unpack the download first")
    source = Source(args.source, args.output)
    data, looks = look_at(choose(READERS[args.what](source), args))
    remarks = check(data, looks)
    duplicates = find_duplicates(data, looks)
    dropped = drop_duplicates(data, duplicates) if args.drop_duplicates else []
    kept = replace(data, images=[image for image in data.images if image.image_id not in dropped])
    written = write_data_set(kept, source, args.output, looks, duplicates, remarks, dropped)
    print(tell(kept, duplicates, dropped, remarks))
    print(f"written to {args.output}: {', '.join(path.name for path in written)}")
    for _, reason in kept.failures:
        print(f"error: {one_line(reason)}", file=sys.stderr)
    return SOME_FAILED if kept.failures else DONE


if __name__ == "__main__":
    raise SystemExit(main())
