r"""How well several readers agree, and how a run's errors compare with their disagreement.

Give a prepared data set with several readers, or their tables. With --run, the errors of an evaluation are set against
the readers' distance on the same points.

Example:
    python scripts/reader_agreement.py --dataset data/isbi2015/dataset.json --run output/evaluation
    python scripts/reader_agreement.py --readers senior.csv junior.csv --pixel_spacing 0.1
"""

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from findings import present

from bundle.errors import ConfigError
from bundle.io.decoded import parse_spacing
from bundle.io.landmark_files import RowIndex, read_landmark_table
from bundle.metrics.comparison import error_against_readers, reader_agreement
from bundle.metrics.error_summary import CEPHALOMETRIC_RADII, detection_rate, summarise
from bundle.records.console import CommandParser, command
from bundle.writers.run_files import error_file, read_errors

SCHEMA = "one-shot-landmarks/readers/1"


@dataclass(frozen=True)
class Readings:
    """What several readers found.

    Attributes:
        readers: K names.
        images: M image ids.
        landmarks: N landmark names.
        points: (K, M, N, 2), ``(x, y)`` in pixels, NaN where missing.
        spacing: (M, 2), mm a pixel ``(x, y)``; None where unknown.
    """

    readers: list[str]
    images: list[str]
    landmarks: list[str]
    points: np.ndarray
    spacing: np.ndarray | None


def build_parser() -> CommandParser:
    """Command line of the script."""
    parser = CommandParser(__doc__)
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--dataset", type=Path, help="dataset.json of scripts/prepare_dataset.py")
    given.add_argument("--readers", type=Path, nargs="+", metavar="TABLE", help="a table of landmarks for each reader")
    parser.add_argument("--pixel_spacing", type=float, nargs="+", metavar="MM", help="mm a pixel: one number, or x y")
    parser.add_argument("--run", type=Path, help="folder of an evaluation, or its metrics.csv")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    return parser


def from_tables(tables: dict[str, Path], spacings: dict[str, Any] | None) -> Readings:
    """Read the readers' tables; images that one of them lacks are left out.

    Raises:
        BundleError: when there are fewer than two tables, or they have no image or not the same landmarks.
    """
    if len(tables) < 2:
        raise ConfigError(f"there are the annotations of {len(tables)} reader(s), but agreement needs at least two.")
    read = {reader: read_landmark_table(path) for reader, path in tables.items()}
    first = next(iter(read.values()))
    indices = [RowIndex(table) for table in read.values()]
    rows = {name: [index.find(name) for index in indices] for name in first}
    images = [name for name, found in rows.items() if None not in found]
    if not images:
        raise ConfigError("the readers' tables have no image in common: the first column must name the images alike.")
    names = first[images[0]].names
    points = np.stack(
        [
            [read[reader][str(rows[image][at])].in_order_of(names, str(tables[reader])).points for image in images]
            for at, reader in enumerate(tables)
        ]
    )
    spacing = None if spacings is None else np.array([spacings.get(image, (np.nan, np.nan)) for image in images])
    return Readings(list(tables), images, list(names), points, spacing)


def from_data_set(file: Path, spacing: tuple[float, float] | None) -> Readings:
    """Read the readers of a prepared data set.

    Raises:
        ConfigError: when the file is no such data set.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        tables = {reader: file.parent / name for reader, name in content["readers"].items()}
        entries = [entry for split in content["splits"] for entry in content[split]]
        spacings = {entry["image_id"]: spacing or entry.get("pixel_spacing", (math.nan,) * 2) for entry in entries}
    except OSError as error:
        raise ConfigError(f"--dataset {file} cannot be read ({error.strerror}): give the dataset.json.") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(
            f"--dataset {file} is no prepared data set: make one with scripts/prepare_dataset.py."
        ) from None
    return from_tables(tables, spacings)


def measure(readings: Readings, run: Path | None) -> dict[str, Any]:
    """The agreement as plain values, distances in mm where a spacing is known, else in pixels."""
    known = readings.spacing is not None and bool(np.isfinite(readings.spacing).any())
    to_mean, between = reader_agreement(readings.points, readings.spacing if known else None)
    disagreement = np.mean(list(between.values()), axis=0)
    result: dict[str, Any] = {
        "schema": SCHEMA,
        "unit": "mm" if known else "px",
        "images": len(readings.images),
        "readers": readings.readers,
        "to_mean": {name: _row(errors) for name, errors in zip(readings.readers, to_mean)},
        "between": {
            f"{readings.readers[i]} - {readings.readers[j]}": _row(errors) for (i, j), errors in between.items()
        },
        "per_landmark": [
            {"name": name, "between": summarise(column)["mre"]}
            for name, column in zip(readings.landmarks, disagreement.T)
        ],
    }
    if run is not None:
        result["run"] = _against(readings, disagreement, run, result["unit"])
    return result


def _against(readings: Readings, disagreement: np.ndarray, run: Path, unit: str) -> dict[str, Any]:
    errors = read_errors(run)
    images = [name for name in readings.images if name in set(errors.image_ids)]
    if not images or len(errors.landmark_names) != len(readings.landmarks):
        raise ConfigError(f"{run} is of other images or landmarks than the readers: evaluate on the same data set.")
    rows = [readings.images.index(name) for name in images]
    measured = getattr(errors, unit)[[errors.image_ids.index(name) for name in images]]
    try:
        found = error_against_readers(measured, disagreement[rows])
    except ValueError:
        raise ConfigError(f"{run} has no error in {unit} on the readers' points: give --pixel_spacing.") from None
    bins = [(group.high, group.predicted, group.mean, group.count) for group in found["bins"]]
    return {"file": str(error_file(run)), **found, "bins": bins}


def _row(errors: np.ndarray) -> dict[str, Any]:
    whole = summarise(errors)
    return {
        "mean": whole["mre"],
        **{key: whole[key] for key in ("std", "median", "points")},
        "within": dict(zip(map(str, CEPHALOMETRIC_RADII), detection_rate(errors, CEPHALOMETRIC_RADII).tolist())),
    }


def summary(found: dict[str, Any]) -> str:
    """The agreement as lines for the terminal."""
    unit = found["unit"]
    lines = [f"{found['images']} images, readers {', '.join(found['readers'])}"]
    lines.append(f"{'':<28}{'mean ' + unit:>9}{'std':>7}{'median':>8}  within 2, 2.5, 3, 4 {unit}")
    rows = [(f"{name} to the mean", row) for name, row in found["to_mean"].items()]
    for title, row in [*rows, *found["between"].items()]:
        rates = " ".join(f"{rate:.1f}" for rate in row["within"].values() if not math.isnan(rate))
        lines.append(f"{title:<28}{_two(row['mean']):>9}{_two(row['std']):>7}{_two(row['median']):>8}  {rates} %")
    lines.append(
        "between readers by landmark: " + ", ".join(f"{r['name']} {_two(r['between'])}" for r in found["per_landmark"])
    )
    if run := found.get("run"):
        lines.append(
            f"run: mean error {run['mean_error']:.2f} {unit} where the readers are {run['mean_disagreement']:.2f} "
            f"{unit} apart; {run['within_percent']:.0f} % of the points nearer than the readers to each other; rank "
            f"correlation {_two(run['spearman'])} by point, {_two(run['landmark_spearman'])} by landmark"
        )
        lines += [
            f"  readers up to {top:.2f} apart: error {error:.2f} ({n} points)" for top, _, error, n in run["bins"]
        ]
    return "\n".join(lines)


def _two(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def find(args: argparse.Namespace) -> dict[str, Any]:
    """What the command line asks for.

    Raises:
        BundleError: when a file cannot be used.
    """
    spacing = parse_spacing(args.pixel_spacing)
    if args.dataset is not None:
        readings = from_data_set(args.dataset, spacing)
    else:
        readings = from_tables({path.stem.removeprefix("landmarks_"): path for path in args.readers}, None)
        if spacing is not None:
            readings = replace(readings, spacing=np.tile(spacing, (len(readings.images), 1)))
    return measure(readings, args.run)


@command
def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; see :func:`findings.present`."""
    args = build_parser().parse_args(argv)
    tables = [] if args.dataset is None else list(args.dataset.parent.glob("*.csv"))
    run = None if args.run is None else error_file(args.run)
    present(lambda: find(args), summary, args.output, [args.dataset, tables, args.readers, run])


if __name__ == "__main__":
    raise SystemExit(main())
