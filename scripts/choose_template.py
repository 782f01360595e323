r"""Rank the images of a folder by how well each would serve as the template; no landmarks are needed.

The image of the most typical shape comes first: the one to which the others must be bent least.

Example:
    python scripts/choose_template.py --dataset_dir my_images --output ranking.csv
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [path for path in (str(ROOT),) if path not in sys.path]

import torch  # noqa: E402
from torch import Tensor  # noqa: E402
from tqdm import tqdm  # noqa: E402

from bundle.data import Cases, collect_cases  # noqa: E402
from bundle.io.overwriting import refuse_to_overwrite  # noqa: E402
from bundle.io.radiographs import read_radiograph  # noqa: E402
from bundle.model import build_network  # noqa: E402
from bundle.networks import NetworkSettings  # noqa: E402
from bundle.records.errors import BundleError, ConfigError, ImageError  # noqa: E402
from bundle.selection import deformation_of_each, describe_images, whiten_together  # noqa: E402
from bundle.selection.typical import WORKING_SIDE  # noqa: E402
from bundle.writers.naming import printable  # noqa: E402
from bundle.writers.run_tables import write_table  # noqa: E402

#: With fewer images there is no typical one.
FEWEST_IMAGES = 3


def rank(cases: Cases, encoder: str, compared: int, seed: int) -> list[tuple[str, float]]:
    """All readable images with their deformation in percent of the long side, the most typical first.

    Args:
        cases: the images.
        encoder: name of the encoder.
        compared: with how many others each image is compared at most.
        seed: chooses the others where there are more.

    Raises:
        BundleError: when there are too few images.
    """
    settings = NetworkSettings(
        encoder={"name": encoder}, working_sides=(WORKING_SIDE,), negative=False, whitening=False, local_channels=0
    )
    names: list[str] = []

    def images() -> Iterator[Tensor]:
        for item in tqdm(cases.items, desc="reading", unit="image", dynamic_ncols=True):
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
    values = deformation_of_each(whiten_together(features), compared, seed)
    progress = tqdm(zip(names, values), total=len(names), desc="comparing", unit="image", dynamic_ncols=True)
    return sorted(((name, 100 * value) for name, value in progress), key=lambda row: row[1])


def main(arguments: Sequence[str] | None = None) -> int:
    """Rank and print; 0 when it is done, 1 when something cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset_dir", type=Path, required=True, help="folder of images, or a data list")
    parser.add_argument("--encoder", default="xfeat", help="name of the encoder (default xfeat)")
    parser.add_argument("--compared", type=int, default=150, help="others that each image is compared with at most")
    parser.add_argument("--seed", type=int, default=0, help="chooses the others")
    parser.add_argument("--output", type=Path, help="CSV file for the whole ranking")
    options = parser.parse_args(arguments)
    try:
        if options.compared < 1:
            raise ConfigError(f"--compared is {options.compared}, expected at least one image.")
        cases = collect_cases(options.dataset_dir)
        if options.output is not None:
            refuse_to_overwrite([options.output], cases.inputs)
        ranking = rank(cases, options.encoder, options.compared, options.seed)
    except BundleError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("best images to annotate (deformation of the others in % of the long side)")
    for place, (name, value) in enumerate(ranking[:10], start=1):
        print(f"{place:3d}  {value:6.3f}  {printable(name)}")
    if options.output is not None:
        rows = ((place, name, float(value)) for place, (name, value) in enumerate(ranking, start=1))
        try:
            write_table(options.output, ["rank", "image", "deformation_percent"], rows)
        except BundleError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        print(f"whole ranking: {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
