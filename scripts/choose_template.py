r"""Rank the images of a folder by how much it would help to annotate each; no landmarks are needed.

While none is annotated, the image of the most typical shape comes first: the one to which the others must be bent
least. Then it is the one that stands for most of those that no annotated image stands for yet.

Example:
    python scripts/choose_template.py --dataset_dir my_images --output ranking.csv
    python scripts/choose_template.py --dataset_dir my_images --annotated case_07 case_31
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from bundle.data.cases import Cases, collect_cases
from bundle.errors import ConfigError, ImageError
from bundle.io.overwriting import refuse_to_overwrite
from bundle.io.radiographs import read_radiograph
from bundle.model import build_network
from bundle.networks import NetworkSettings
from bundle.records.console import CommandParser, command, progress
from bundle.selection import WORKING_SIDE, deformation_of_each, describe_images, rank_by_coverage, whiten_together
from bundle.writers.files import printable
from bundle.writers.run_files import write_table

#: With fewer images there is no typical one.
FEWEST_IMAGES = 3


def describe(cases: Cases, encoder: str) -> dict[str, Tensor]:
    """Whitened descriptor maps of all readable images.

    Args:
        cases: the images.
        encoder: name of the encoder.

    Raises:
        BundleError: when there are too few images.
    """
    settings = NetworkSettings(
        encoder={"name": encoder}, working_sides=(WORKING_SIDE,), negative=False, whitening=False, local_channels=0
    )
    names: list[str] = []

    def images() -> Iterator[Tensor]:
        for item in progress(cases.items, desc="reading", unit="image"):
            try:
                pixels = read_radiograph(str(item["image"])).pixels
            except ImageError as error:
                tqdm.write(f"error: {error}", file=sys.stderr)
                continue
            names.append(str(item["image_id"]))
            yield torch.from_numpy(pixels)[None, None]

    features = list(describe_images(images(), build_network(settings)))
    if len(features) < FEWEST_IMAGES:
        raise ConfigError(f"{cases.root} has {len(features)} readable image(s), expected at least {FEWEST_IMAGES}.")
    return dict(zip(names, whiten_together(features)))


def by_deformation(maps: Mapping[str, Tensor], compared: int, seed: int) -> list[tuple[str, float]]:
    """All images with their deformation in percent of the long side, the most typical first.

    Args:
        maps: what :func:`describe` gave.
        compared: with how many others each image is compared at most.
        seed: chooses the others where there are more.
    """
    values = deformation_of_each(list(maps.values()), compared, seed)
    shown = progress(zip(maps, values), total=len(maps), desc="comparing", unit="image")
    return sorted(((name, 100 * value) for name, value in shown), key=lambda row: row[1])


@command
def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = CommandParser(__doc__)
    parser.add_argument("--dataset_dir", type=Path, required=True, help="folder of images, or a data list")
    parser.add_argument("--annotated", nargs="+", default=[], help="ids of the images that are annotated already")
    parser.add_argument("--encoder", default="xfeat", help="name of the encoder (default xfeat)")
    parser.add_argument("--compared", type=int, default=150, help="others that each image is compared with at most")
    parser.add_argument("--seed", type=int, default=0, help="chooses the others")
    parser.add_argument("--output", type=Path, help="CSV file for the whole ranking")
    options = parser.parse_args(arguments)
    if options.compared < 1:
        raise ConfigError(f"--compared is {options.compared}, expected at least one image.")
    cases = collect_cases(options.dataset_dir)
    if options.output is not None:
        refuse_to_overwrite([options.output], cases.inputs)
    maps = describe(cases, options.encoder)
    if options.annotated:
        value, about = "gain", "gain of similarity to the nearest annotated one, in the mean over all images"
        if unknown := sorted(set(options.annotated) - set(maps)):
            raise ConfigError(
                f"--annotated names {unknown[0]}, which is no readable image of the folder: give image ids."
            )
        ranking = rank_by_coverage(maps, options.annotated)
    else:
        value, about = "deformation_percent", "deformation of the others in % of the long side"
        ranking = by_deformation(maps, options.compared, options.seed)
    print(f"best images to annotate ({about})")
    for place, (name, amount) in enumerate(ranking[:10], start=1):
        print(f"{place:3d}  {amount:6.3f}  {printable(name)}")
    if options.output is not None:
        rows = ((place, name, float(amount)) for place, (name, amount) in enumerate(ranking, start=1))
        write_table(options.output, ["rank", "image", value], rows)
        print(f"whole ranking: {options.output}")


if __name__ == "__main__":
    raise SystemExit(main())
