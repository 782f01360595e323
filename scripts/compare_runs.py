r"""Compare two evaluations of the same images: is the second better than the first, and by how much?

Both are folders that ``run evaluation`` wrote (or their metrics.csv). Only points that both measured count. Printed,
and with --output written as JSON, are the mean errors, their difference with a 95 % bootstrap interval over images, the
p value of Wilcoxon's signed-rank test, effect sizes, and each landmark's difference with Holm's correction.

Example:
    python scripts/compare_runs.py output/evaluation_before output/evaluation_after --output comparison.json
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from findings import present

from bundle.errors import BundleError, one_line
from bundle.metrics.comparison import compare_errors, compare_landmarks
from bundle.records.console import CommandParser, command
from bundle.writers.run_files import error_file, read_errors

SCHEMA = "one-shot-landmarks/comparison/1"
#: Below this p value a difference counts as shown.
LEVEL = 0.05


def build_parser() -> CommandParser:
    """Command line of the script."""
    parser = CommandParser(__doc__)
    parser.add_argument("first", type=Path, help="folder of an evaluation, or its metrics.csv")
    parser.add_argument("second", type=Path, help="the other")
    parser.add_argument("--unit", choices=("mm", "px"), help="default mm where both runs have a spacing, else px")
    parser.add_argument("--resamples", type=int, default=2000, help="draws of the bootstrap (default 2000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draws (default 0)")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    return parser


def compare(files: Sequence[Path], unit: str | None, resamples: int, seed: int) -> dict[str, Any]:
    """The comparison as plain values.

    Raises:
        BundleError: when the runs have no point in common.
    """
    first, second = map(read_errors, files)
    images = [name for name in first.image_ids if name in set(second.image_ids)]
    landmarks = [name for name in first.landmark_names if name in set(second.landmark_names)]
    if not images or not landmarks:
        what = "image" if not images else "landmark"
        raise BundleError(f"{files[0]} and {files[1]} have no {what} in common: compare runs on the same data.")
    chosen = unit or ("mm" if all((~np.isnan(run.mm)).any() for run in (first, second)) else "px")
    errors = []
    for run in (first, second):
        rows = [run.image_ids.index(name) for name in images]
        errors.append(getattr(run, chosen)[np.ix_(rows, [run.landmark_names.index(name) for name in landmarks])])
    differences = compare_landmarks(*errors)
    return {
        "schema": SCHEMA,
        "first": str(files[0]),
        "second": str(files[1]),
        "unit": chosen,
        "all": compare_errors(*errors, resamples, seed),
        "per_landmark": [
            {"name": name, "difference": difference, "wilcoxon_p_holm": p}
            for name, (difference, p) in zip(landmarks, differences)
        ],
        "left_out": {
            "images": sorted(set(first.image_ids) ^ set(second.image_ids)),
            "landmarks": sorted(set(first.landmark_names) ^ set(second.landmark_names)),
        },
    }


def summary(found: dict[str, Any]) -> str:
    """The comparison as lines for the terminal."""
    every, unit = found["all"], found["unit"]
    low, high = map(_number, every["interval"])
    lines = [
        f"{every['images']} images, {every['points']} points that both runs measured",
        f"mean error       first {every['first']:.3f} {unit}, second {every['second']:.3f} {unit}",
        f"second - first   {every['difference']:+.3f} {unit}, 95 % interval {low} to {high} (bootstrap)",
        f"p values         Wilcoxon {_p(every['wilcoxon_p'])}, bootstrap {_p(every['bootstrap_p'])}",
        f"effect           rank-biserial {_number(every['rank_biserial'])}, Cohen's d {_number(every['cohens_d'])}, "
        f"second better in {every['better_images']:.0f} % of the images",
        "",
        f"{'landmark':<26}{'difference':>12}{'p (Holm)':>12}",
    ]
    lines += [
        f"{one_line(row['name'])[:25]:<26}{_number(row['difference']):>12}{_p(row['wilcoxon_p_holm']):>12}"
        for row in found["per_landmark"]
    ]
    for what, names in found["left_out"].items():
        if names:
            lines.append(
                f"in one run only ({what}): {', '.join(map(one_line, names[:5]))}{', ...' if len(names) > 5 else ''}"
            )
    return "\n".join([*lines, "", verdict(found)])


def verdict(found: dict[str, Any]) -> str:
    """The comparison in a sentence."""
    every, unit = found["all"], found["unit"]
    low, high = every["interval"]
    if math.isnan(low):
        return "verdict: one image says nothing about others; compare runs on more."
    interval = f"95 % interval of the difference {low:+.3f} to {high:+.3f}"
    size = f"by {abs(every['difference']):.3f} {unit} on average ({interval})"
    if low <= 0 <= high:
        return f"verdict: no difference is shown on these {every['images']} images, the second differs {size}."
    sure = every["wilcoxon_p"] < LEVEL and every["bootstrap_p"] < LEVEL
    better = "better" if every["difference"] < 0 else "worse"
    hedge = "" if sure else ", but the tests do not agree, so look at more images"
    return f"verdict: the second run is {better} {size}{hedge}."


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:+.3f}"


def _p(value: float) -> str:
    return "-" if math.isnan(value) else ("< 0.001" if value < 0.001 else f"{value:.3f}")


@command
def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; see :func:`findings.present`."""
    args = build_parser().parse_args(argv)
    files = [error_file(args.first), error_file(args.second)]
    present(lambda: compare(files, args.unit, args.resamples, args.seed), summary, args.output, files)


if __name__ == "__main__":
    raise SystemExit(main())
