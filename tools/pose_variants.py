"""Measure what becomes of images that are turned, mirrored, inverted, scaled, cropped, distorted, or something else.

Every eighth cephalogram of a folder in the layout of ISBI 2015 (``images/NNN.jpg``, ``landmarks_mean.csv``) is changed
in memory and matched, zero-shot, to one of them; errors are in mm of the image before the change, and landmarks that
were cropped away count as found where they would have been. One line per image is appended to ``--output``; what is
there is not computed again.

Example:
    python -m tools.pose_variants --data isbi2015 --template 125 --images odd --output output/pose.jsonl
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bundle.io.landmark_files import read_landmark_table
from bundle.io.radiographs import read_radiograph
from bundle.model import PosedInferer, zero_shot_model
from bundle.pose.affine import apply, mean_scale, warp
from bundle.records.console import CommandParser, command
from bundle.records.prediction import PREDICTION_COLUMNS
from bundle.records.radiograph import Template

SPACING = 0.1  # mm per pixel of these images
_EXPECTED = PREDICTION_COLUMNS.index("expected_error")


class Variant(NamedTuple):
    """A change of an image.

    Attributes:
        matrix: from its pixels to the new one's.
        size: the new (height, width).
        inverted: whether it becomes its negative.
        exposed: the first and the last pixel ``(x, y)`` of the new image that are not black, None for all.
    """

    matrix: np.ndarray
    size: tuple[int, int]
    inverted: bool = False
    exposed: tuple[np.ndarray, np.ndarray] | None = None

    def shows(self, points: np.ndarray) -> np.ndarray:
        """Which of (N, 2) points of the new image it shows."""
        low, high = self.exposed or (np.zeros(2), np.array(self.size)[::-1] - 1)
        return ((points > low - 0.5) & (points < high + 0.5)).all(axis=1)


def turned(
    size: tuple[int, int],
    degrees: float = 0.0,
    *,
    mirrored: bool = False,
    scale: float = 1.0,
    frame: float = 1.0,
    linear: tuple[float, float] = (1.0, 0.0),
    inverted: bool = False,
) -> Variant:
    """The image turned counter-clockwise about its centre, on a canvas that holds it, times ``frame``."""
    angle = math.radians(-degrees)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    turn = scale * turn @ np.array([[linear[0], linear[1]], [0.0, 1.0]]) @ np.diag([-1.0 if mirrored else 1.0, 1.0])
    width, height = (round(float(side)) for side in np.abs(turn) @ np.array([size[1], size[0]]) * frame)
    matrix = np.eye(3)
    matrix[:2, :2] = turn
    matrix[:2, 2] = np.array([width - 1, height - 1]) / 2 - turn @ (np.array([size[1], size[0]]) - 1) / 2
    return Variant(matrix, (height, width), inverted)


def cut(low: np.ndarray, high: np.ndarray) -> Variant:
    """The part of the image from one pixel ``(x, y)`` to another."""
    low, high = low.round().astype(int), high.round().astype(int)
    matrix = np.eye(3)
    matrix[:2, 2] = -low
    return Variant(matrix, (int(high[1] - low[1]) + 1, int(high[0] - low[0]) + 1))


def cropped(size: tuple[int, int], points: np.ndarray, mm: float) -> Variant:
    """What lies within so many mm of the landmarks' rectangle."""
    last = np.array([size[1], size[0]]) - 1
    return cut(np.maximum(points.min(axis=0) - mm / SPACING, 0), np.minimum(points.max(axis=0) + mm / SPACING, last))


def two_thirds(size: tuple[int, int], points: np.ndarray, index: int) -> tuple[np.ndarray, np.ndarray]:
    """The first and the last pixel of what is left without a third of the landmarks at one side, drawn by the index."""
    low, high = np.zeros(2), np.array([size[1], size[0]]) - 1.0
    axis, side = np.random.default_rng(index).integers(2, size=2)
    ordered = np.sort(points[:, axis])
    third = len(points) // 3
    if side:
        high[axis] = (ordered[-third] + ordered[-third - 1]) / 2
    else:
        low[axis] = (ordered[third] + ordered[third - 1]) / 2
    return low, high


def at_random(size: tuple[int, int], index: int) -> Variant:
    """Turn, side, polarity, frame and resolution at once."""
    rng = np.random.default_rng(index)
    return turned(
        size,
        rng.uniform(0, 360),
        mirrored=bool(rng.random() < 0.5),
        scale=float(rng.uniform(0.4, 1.2)),
        frame=float(rng.uniform(0.9, 2.0)),
        inverted=bool(rng.random() < 0.5),
    )


#: By name: from (height, width), landmarks and the image's number to the change.
VARIANTS: dict[str, Callable[[tuple[int, int], np.ndarray, int], Variant]] = {
    "unchanged": lambda size, _points, _index: Variant(np.eye(3), size),
    "mirrored": lambda size, _points, _index: turned(size, mirrored=True),
    "inverted": lambda size, _points, _index: turned(size, inverted=True),
    **{
        f"turned by {degrees}": lambda size, _points, _index, degrees=degrees: turned(size, degrees)
        for degrees in (90, 180, 270, 10, 30, 45, 135)
    },
    **{
        f"resolution x {scale}": lambda size, _points, _index, scale=scale: turned(size, scale=scale)
        for scale in (0.3, 2.0)
    },
    **{
        f"frame x {frame}": lambda size, _points, _index, frame=frame: turned(size, frame=frame)
        for frame in (0.7, 1.5, 2.0, 3.0, 4.0)
    },
    "cropped to 15 mm": lambda size, points, _index: cropped(size, points, 15),
    "cropped to 3 mm": lambda size, points, _index: cropped(size, points, 3),
    "a third cropped away": lambda size, points, index: cut(*two_thirds(size, points, index)),
    "a third collimated": lambda size, points, index: Variant(np.eye(3), size, exposed=two_thirds(size, points, index)),
    "aspect 0.8": lambda size, _points, _index: turned(size, linear=(0.8, 0.0)),
    "shear 0.15": lambda size, _points, _index: turned(size, linear=(1.0, 0.15)),
    "aspect 0.65": lambda size, _points, _index: turned(size, linear=(0.65, 0.0)),
    "shear 0.3": lambda size, _points, _index: turned(size, linear=(1.0, 0.3)),
    "all at random": lambda size, _points, index: at_random(size, index),
}


def change(image: Tensor, variant: Variant) -> Tensor:
    """The image, (1, 1, H, W), as the variant shows it; beyond its border it is black before it is inverted."""
    if variant.size != tuple(image.shape[-2:]) or not np.array_equal(variant.matrix, np.eye(3)):
        margin = 2
        framed = F.pad(image, (margin,) * 4)
        shift = np.eye(3)
        shift[:2, 2] = margin
        image = warp(framed, shift @ np.linalg.inv(variant.matrix), variant.size)
    if variant.exposed is not None:
        (left, top), (right, bottom) = (corner.round().astype(int) for corner in variant.exposed)
        dark = torch.zeros_like(image)
        dark[..., top : bottom + 1, left : right + 1] = image[..., top : bottom + 1, left : right + 1]
        image = dark
    return 1 - image if variant.inverted else image


def measure(arguments: argparse.Namespace, done: set[tuple[str, str, str]]) -> Iterator[dict[str, Any]]:
    """One line per variant and image."""
    table_of_points = read_landmark_table(arguments.data / "landmarks_mean.csv")
    truth = {Path(name).stem: marks for name, marks in table_of_points.items()}

    def pixels(name: str) -> Tensor:
        return torch.from_numpy(read_radiograph(arguments.data / "images" / f"{name}.jpg").pixels)[None, None]

    name = arguments.template
    spacing = (SPACING, SPACING)
    template = Template(pixels(name)[0, 0].numpy(), truth[name], spacing, name)
    model = zero_shot_model(template)
    inferer: PosedInferer = model.inferer(pose=arguments.pose)
    first = 1 if arguments.images == "odd" else 2
    images = [f"{number:03d}" for number in range(first, 151, arguments.step)]
    for variant in arguments.variants or VARIANTS:
        for image in images:
            if image == name or (name, variant, image) in done:
                continue
            plain, points = pixels(image), truth[image].points.astype(np.float64)
            changed = VARIANTS[variant](tuple(plain.shape[-2:]), points, int(image) // 2)
            query = change(plain, changed)
            start = time.process_time()
            found = inferer(query, model.network)
            seconds = time.process_time() - start
            where, mm = apply(changed.matrix, points), SPACING / mean_scale(changed.matrix)
            places = found[0, :, :2].double().numpy()
            yield {
                "template": name,
                "variant": variant,
                "image": image,
                "mm": (np.linalg.norm(places - where, axis=1) * mm).round(3).tolist(),
                "missing": found.meta["missing"][0].double().numpy().round(4).tolist(),
                "inside": changed.shows(where).tolist(),
                "expected_mm": (found[0, :, _EXPECTED].double().numpy() * mm).round(3).tolist(),
                "kind_confidence": float(found.meta["pose"]["kind_confidence"][0]),
                "changed": bool(found.meta["pose"]["changed"][0]),
                "seconds": round(seconds, 3),
            }


def table(lines: list[dict[str, Any]]) -> str:
    """The lines as a Markdown table, errors beside those of the same images as they are."""
    head = "| template | variant | images | MRE mm | times unchanged | over 10 mm | other kind | CPU s |"
    rows = [head, "| --- " * 8 + "|"]
    for name in sorted({line["template"] for line in lines}):
        own = [line for line in lines if line["template"] == name]
        plain = {line["image"]: np.array(line["mm"]) for line in own if line["variant"] == "unchanged"}
        for variant in VARIANTS:
            some = [line for line in own if line["variant"] == variant and line["image"] in plain]
            if some:
                shown = [np.array(line["inside"]) for line in some]
                errors = np.concatenate([np.array(line["mm"])[here] for line, here in zip(some, shown)])
                base = np.concatenate([plain[line["image"]][here] for line, here in zip(some, shown)])
                rows.append(
                    f"| {name} | {variant} | {len(some)} | {errors.mean():.2f} | {errors.mean() / base.mean():.3f} | "
                    f"{np.mean(errors > 10):.1%} | {sum(line['kind_confidence'] < 0.5 for line in some)} | "
                    f"{np.mean([line['seconds'] for line in some]):.2f} |"
                )
    shares = withheld(lines)
    return "\n".join([*rows, *([f"withheld: {shares}"] if shares else [])])


def withheld(lines: list[dict[str, Any]]) -> str:
    """How well the probability tells what was cropped away, and what it withholds on unchanged images."""
    cut = [line for line in lines if line["variant"] == "a third cropped away"]
    gone = np.array([p for line in cut for p, here in zip(line["missing"], line["inside"]) if not here])
    kept = np.array([p for line in cut for p, here in zip(line["missing"], line["inside"]) if here])
    plain = np.array([p for line in lines if line["variant"] == "unchanged" for p in line["missing"]])
    if not gone.size or not plain.size:
        return ""
    limit = np.quantile(kept, 0.95)
    at_limit, at_half = np.mean(gone > limit), np.mean(gone >= 0.5)
    return (
        f"sensitivity {at_limit:.1%} at 95 % specificity (above {limit:.2f}), {at_half:.1%} at 0.5 with specificity "
        f"{np.mean(kept < 0.5):.1%}; of unchanged images {np.mean(plain >= 0.5):.2%}"
    )


@command
def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print the table."""
    parser = CommandParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the cephalograms")
    parser.add_argument("--template", default="125", help="number of the template")
    parser.add_argument("--images", choices=("odd", "even"), default="odd", help="odd to choose, even to confirm")
    parser.add_argument("--step", type=int, default=16, help="every how many-th image")
    parser.add_argument("--variants", nargs="*", choices=list(VARIANTS), help="only these")
    parser.add_argument("--pose", choices=("auto", "as_is"), default="auto")
    parser.add_argument("--output", type=Path, required=True, help="file to which lines are appended")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    before = arguments.output.read_text(encoding="utf-8") if arguments.output.exists() else ""
    lines = [json.loads(line) for line in before.splitlines()]
    with arguments.output.open("a", encoding="utf-8") as file, torch.no_grad():
        for line in measure(arguments, {(one["template"], one["variant"], one["image"]) for one in lines}):
            lines.append(line)
            print(json.dumps(line), file=file, flush=True)
    print(table(lines))


if __name__ == "__main__":
    raise SystemExit(main())
