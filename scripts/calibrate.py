r"""Calibrate the expected errors of a model on images whose landmarks are known.

Writes a configuration to be laid over ``inference.json`` or ``evaluate.json``: a factor for each landmark on its
expected error, and, for information, how well it fits (cross-validated over the images). Distances are in pixels.

Example:
    python scripts/calibrate.py --model_path models/model.pt --dataset_dir labelled --landmarks truth.csv \
        --output calibration.json
    python -m monai.bundle run inference --config_file "['configs/inference.json','calibration.json']" ...
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from bundle import LandmarkFinder
from bundle.data.cases import collect_cases, with_truth
from bundle.errors import ConfigError, ImageError
from bundle.io.overwriting import refuse_to_overwrite
from bundle.io.template import read_template
from bundle.metrics.calibration import FEW_IMAGES, cross_validated, error_factors, interval_factor, risk_coverage
from bundle.model import open_model
from bundle.networks import NetworkSettings
from bundle.records.console import CommandParser, command, progress
from bundle.records.validation import validate
from bundle.writers.files import atomic_file

#: The conformal interval that is reported holds this share of the points.
LEVEL = 0.9
#: Shares of the most confident points whose mean error is reported.
SHARES = (0.5, 0.75, 0.9, 1.0)
#: With fewer images the factors say more about chance than about landmarks.
FEWEST_IMAGES = 5


def measure(finder: LandmarkFinder, images: Sequence[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """True and expected errors in pixels, (M, N) each; an image that cannot be read is named and left out."""
    errors, expected = [], []
    for item in progress(images, desc="calibration", unit="image"):
        try:
            found, _ = finder.find_item(item)
        except ImageError as error:
            tqdm.write(f"error: {error}", file=sys.stderr)
            continue
        errors.append(np.linalg.norm(found.points - np.asarray(item["label"]), axis=1))
        expected.append(found.expected_error)
    return np.array(errors), np.array(expected)


def risk_at_shares(errors: np.ndarray, expected: np.ndarray) -> dict[float, float]:
    """Mean error of the points with the smallest expected errors, for several shares of all points."""
    curve = risk_coverage(errors, -expected)
    return {share: float(curve.risk[curve.place(share)]) for share in SHARES} if curve else {}


def calibrate(options: argparse.Namespace) -> None:
    """Measure, calibrate, say how well it fits, and write the configuration.

    Raises:
        BundleError: when model, images or landmarks cannot be used, or there are too few.
    """
    cases = collect_cases(options.dataset_dir)
    inputs = [options.template_image, options.template_landmarks, options.landmarks, options.model_path, options.config]
    refuse_to_overwrite([options.output], [*inputs, *cases.inputs])
    overlay = json.loads(options.config.read_text()) if options.config else {}
    grey_values = validate(NetworkSettings, overlay.get("network", {}), "network").grey_values
    template = None
    if options.template_image:
        template = read_template(options.template_image, options.template_landmarks, grey_values=grey_values)
    model = open_model(
        model_path=options.model_path,
        template=template,
        network=overlay.get("network"),
        # Factors of an earlier calibration must not count twice.
        matching={**overlay.get("matching", {}), "error_factors": None, "missing_above": None},
        device=options.device,
    )
    errors, expected = measure(LandmarkFinder(model), with_truth(cases, options.landmarks, model.template).items)
    if len(errors) < FEWEST_IMAGES:
        raise ConfigError(f"{options.dataset_dir} gave {len(errors)} image(s) with truth, expected {FEWEST_IMAGES}.")
    if not np.isfinite(expected).all():
        raise ConfigError(
            f"the strategy {model.matching.strategy} expects no errors: calibrate the strategy posterior."
        )
    factors = error_factors(errors, expected)
    judged, coverage = cross_validated(errors, expected, level=LEVEL)
    before, after = (risk_at_shares(errors, values) for values in (expected, judged))
    known = np.isfinite(errors)
    mean_error, mean_expected = float(errors[known].mean()), float(judged[known].mean())
    report = {
        "images": len(errors),
        "mean_error_px": round(mean_error, 4),
        "mean_expected_error_px": round(mean_expected, 4),
        "interval_level": LEVEL,
        "interval_factor": round(interval_factor(errors, expected * factors, LEVEL), 4),
        "interval_coverage": round(coverage, 4),
        "risk_coverage_px": {f"{share:g}": round(value, 4) for share, value in after.items()},
        "risk_coverage_before_px": {f"{share:g}": round(value, 4) for share, value in before.items()},
    }
    settings = {**overlay.get("matching", {}), "error_factors": [round(float(factor), 4) for factor in factors]}
    content = {**overlay, "matching": settings, "calibration": report}
    with atomic_file(options.output) as file:
        file.write(json.dumps(content, indent=4) + "\n")
    print(f"{len(errors)} images: mean error {mean_error:.2f} px, expected {mean_expected:.2f} px")
    print(
        f"{coverage:.1%} of unseen points lie within {report['interval_factor']:.2f} times their expected error "
        f"({LEVEL:.0%} wanted)"
    )
    if len(errors) < FEW_IMAGES:
        print(f"only {len(errors)} images: factors and coverage owe much to chance; calibrate on {FEW_IMAGES} or more")
    for share, value in after.items():
        print(f"most confident {share:4.0%}: {value:.2f} px (before calibration {before[share]:.2f} px)")
    print(f"configuration written to {options.output}")


@command
def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = CommandParser(__doc__)
    parser.add_argument("--model_path", type=Path, help="a trained model")
    parser.add_argument("--template_image", type=Path, nargs="+", help="or one or more annotated images (zero-shot)")
    parser.add_argument("--template_landmarks", type=Path, help="landmarks of the annotated images")
    parser.add_argument("--dataset_dir", type=Path, required=True, help="images with known landmarks")
    parser.add_argument("--landmarks", type=Path, required=True, help="table of the known landmarks")
    parser.add_argument("--config", type=Path, help="overlay with network and matching settings, such as fast.json")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--output", type=Path, required=True, help="the configuration to write")
    calibrate(parser.parse_args(arguments))


if __name__ == "__main__":
    raise SystemExit(main())
