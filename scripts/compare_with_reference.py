r"""Find landmarks by the literal method and by the product, with the same random weights, and compare the points.

The literal method (``tests/reference/full_size.py``) takes about 12 seconds a landmark and image on two processor
cores, so choose a few landmarks. Points must be identical: the settings are those of the preset ``paper``, on whole
pixels.

Example:
    python scripts/compare_with_reference.py --template_image 125.jpg --template_landmarks truth.csv \
        --images 001.jpg 002.jpg --landmarks 0 9 16
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [path for path in (str(ROOT), str(ROOT / "scripts")) if path not in sys.path]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from benchmarking.methods import Preset, product, read_preset, reference  # noqa: E402
from tqdm import tqdm  # noqa: E402

from bundle.io.radiographs import read_radiograph  # noqa: E402
from bundle.io.template import read_template  # noqa: E402
from bundle.matching.settings import MatchingSettings  # noqa: E402
from bundle.model import PaperInferer  # noqa: E402
from bundle.records.errors import BundleError, LandmarkError  # noqa: E402
from bundle.records.landmarks import LandmarkSet  # noqa: E402
from bundle.records.template import Template  # noqa: E402
from tests.reference import full_size  # noqa: E402


def choose(template: Template, numbers: Sequence[int]) -> Template:
    """The template with some of its landmarks, on whole pixels.

    Raises:
        LandmarkError: when it has no landmark of a number.
    """
    landmarks = template.landmarks
    wrong = [number for number in numbers if not 0 <= number < len(landmarks)]
    if wrong:
        raise LandmarkError(f"--landmarks has {wrong[0]}, but the template's landmarks are 0 to {len(landmarks) - 1}.")
    points = np.floor(landmarks.points[list(numbers)])
    return replace(template, landmarks=LandmarkSet(tuple(landmarks.names[n] for n in numbers), points))


def compare(preset: Preset, template: Template, images: Sequence[Path], device: torch.device) -> int:
    """Print the points of both methods; the number of those that differ."""
    network = product(preset, device)
    method = reference(preset, network, device)
    landmarks = [(int(x), int(y)) for x, y in template.landmarks.points]
    inferer = PaperInferer(template, MatchingSettings(strategy="paper", k=preset.candidates, subpixel=False))
    known = full_size.describe_template(method, torch.from_numpy(template.pixels).to(device), landmarks)
    different = 0
    for path in tqdm(images, desc="images", unit="image"):
        pixels = torch.from_numpy(read_radiograph(path).pixels).to(device)
        literal = full_size.find(method, known, landmarks, pixels, preset.candidates)
        ours = [tuple(point) for point in inferer(pixels[None, None], network)[0, :, :2].long().tolist()]
        for name, expected, found in zip(template.landmarks.names, literal, ours):
            same = expected == found
            different += not same
            tqdm.write(f"{path.name} {name}: literal {expected}, product {found}{'' if same else '  DIFFERENT'}")
    return different


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare; 0 when all points are identical, 1 when not or when a file cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--template_image", type=Path, required=True)
    parser.add_argument("--template_landmarks", type=Path, required=True)
    parser.add_argument("--images", type=Path, nargs="+", required=True, help="query images")
    parser.add_argument("--landmarks", type=int, nargs="+", default=[0], help="numbers from 0 (default 0)")
    parser.add_argument("--encoder", default="dino", help="dino, xfeat, or a plain transformer of timm")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    options = parser.parse_args(arguments)
    try:
        template = choose(read_template(options.template_image, options.template_landmarks), options.landmarks)
        different = compare(read_preset(options.encoder), template, options.images, torch.device(options.device))
    except BundleError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    total = len(options.images) * len(options.landmarks)
    print(f"{total - different} of {total} points identical")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
