"""Measure the default on this machine: beside other methods, as it grows, and as a run on all cores.

``peers`` and ``growth`` write a table and a picture; rows of earlier runs that are not measured again stay. Times are
processor seconds, so other work on the machine hardly matters; only ``throughput`` needs a quiet machine.

Example:
    python -m tools.benchmark peers --data isbi2015 --template 125 --spacing 0.1
    python -m tools.benchmark growth
    python -m tools.benchmark throughput --data isbi2015 --model models/model.pt --processes 1 2 --cores 1 2
"""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bundle.io.template import read_template
from bundle.records.console import CommandParser, command
from tools.benchmarking import growth, peers, throughput


def parser() -> CommandParser:
    """The command line."""
    made = CommandParser(__doc__)
    made.add_argument("what", choices=("peers", "growth", "throughput"))
    made.add_argument("--data", type=Path, help="folder with images/001.jpg ... and landmarks_mean.csv")
    made.add_argument("--template", default="125", help="the annotated image")
    made.add_argument("--spacing", type=float, default=0.1, help="mm per pixel")
    made.add_argument("--methods", nargs="+", choices=peers.METHODS, default=peers.METHODS, help="of peers")
    made.add_argument("--model", type=Path, help="of throughput: the model of a training")
    made.add_argument("--processes", nargs="+", type=int, default=[1, 2], help="of throughput")
    made.add_argument("--cores", nargs="+", type=int, default=[1, 2], help="of throughput: how many each run may use")
    made.add_argument("--output", type=Path, default=Path("docs/images"), help="folder of tables and pictures")
    return made


def measure_peers(data: Path, template: str, spacing: float, methods: Sequence[str]) -> Iterable[peers.Row]:
    """Every fourth odd image, in the order of their names."""
    table = data / "landmarks_mean.csv"
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    truth = {row[0]: np.array(row[1:], dtype=float).reshape(-1, 2) for row in rows}
    images = [data / "images" / f"{name}.jpg" for name in sorted(set(truth) - {template}) if int(name) % 8 == 1]
    known = read_template(data / "images" / f"{template}.jpg", table, spacing=spacing)
    return (peers.measure(method, images, truth, known) for method in methods)


def kept_with(rows: Iterable[Any], kind: Any, keys: int, table: Path) -> list[Any]:
    """Write rows into a table as they come, over those with the same first columns; all rows of the table."""
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    if table.is_file():
        with table.open(encoding="utf-8", newline="") as file:
            found = {tuple(row[:keys]): tuple(row) for row in list(csv.reader(file))[1:]}
    for row in rows:
        cells = tuple(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row)
        found[cells[:keys]] = cells
        print(" | ".join(cells), flush=True)
        with table.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([kind._fields, *found.values()])
    return [kind(*(cell if cell in peers.METHODS else float(cell) for cell in row)) for row in found.values()]


@command
def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    made = parser()
    options = made.parse_args(arguments)
    if options.what != "growth" and options.data is None:
        made.error(f"{options.what} needs --data")
    if options.what == "throughput":
        if options.model is None:
            made.error("throughput needs --model")
        if len(options.cores) != len(options.processes):
            made.error("throughput needs as many --cores as --processes")
        print(" | ".join(throughput.Row._fields))
        for processes, cores in zip(options.processes, options.cores, strict=True):
            row = throughput.measure(options.model, options.data / "images", processes, cores)
            print(" | ".join(f"{value:.4g}" for value in row))
        return
    options.output.mkdir(parents=True, exist_ok=True)
    table = options.output / f"{options.what}.csv"
    if options.what == "peers":
        rows = measure_peers(options.data, options.template, options.spacing, options.methods)
        peers.draw(kept_with(rows, peers.Row, 1, table), table.with_suffix(".svg"))
    else:
        sizes = {*((count, 4.6) for count in growth.LANDMARKS), *((19, pixels) for pixels in growth.MEGAPIXELS)}
        measured = (growth.measure(*size) for size in sorted(sizes))
        growth.draw(kept_with(measured, growth.Row, 2, table), table.with_suffix(".svg"))


if __name__ == "__main__":
    raise SystemExit(main())
