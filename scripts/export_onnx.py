"""Export a trained model: its network as ONNX files, for images of one size.

Written are ``global.onnx`` (image at its working sizes to descriptors), ``local.onnx`` where the model has a local
decoder (crops to features), and ``export.json``, which says what they take and give. Each is compared with PyTorch
first. The packages of ``requirements-export.txt`` are needed.

Example:
    python scripts/export_onnx.py --model_path models/model.pt --image_size 2400 1935 --output_dir output/onnx
"""

import math
from collections.abc import Sequence
from pathlib import Path

from bundle.export import export_model
from bundle.io.decoded import MIN_SIDE
from bundle.records.console import CommandParser, command

OPSETS = (18, 23)


def build_parser() -> CommandParser:
    """Command line of the script."""
    parser = CommandParser("Export a trained model as ONNX files for images of one size.")
    parser.add_argument(
        "--model_path", type=Path, default=Path("models/model.pt"), help="the checkpoint (default models/model.pt)"
    )
    parser.add_argument(
        "--image_size", type=int, nargs=2, required=True, metavar=("H", "W"), help="rows and columns of the images"
    )
    parser.add_argument("--output_dir", type=Path, required=True, help="folder to write the files to")
    parser.add_argument("--encoder_weights", default="hub", help="hub, random (for tests), or a file (default hub)")
    parser.add_argument("--batch", type=int, help="crops at once in local.onnx (default: one a landmark)")
    parser.add_argument("--opset", type=int, default=20, help="version of ONNX's operators (default 20)")
    parser.add_argument(
        "--tolerance", type=float, default=1e-4, help="largest difference, as a share of the largest value (1e-4)"
    )
    return parser


@command
def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = build_parser()
    args = parser.parse_args(argv)
    height, width = args.image_size
    if min(height, width) < MIN_SIDE:
        parser.error(f"--image_size is {height} {width}: expected at least {MIN_SIDE} rows and columns")
    if args.batch is not None and args.batch < 1:
        parser.error(f"--batch is {args.batch}: expected at least one crop")
    if not OPSETS[0] <= args.opset <= OPSETS[1]:
        parser.error(f"--opset is {args.opset}: expected {OPSETS[0]} to {OPSETS[1]}")
    if not (args.tolerance > 0 and math.isfinite(args.tolerance)):
        parser.error(f"--tolerance is {args.tolerance}: expected a positive number")
    if args.output_dir.exists() and not args.output_dir.is_dir():
        parser.error(f"--output_dir is {args.output_dir}: expected a folder, but it is a file")
    content = export_model(
        args.model_path,
        (height, width),
        args.output_dir,
        encoder_weights=args.encoder_weights,
        batch=args.batch,
        opset=args.opset,
        tolerance=args.tolerance,
    )
    for part in content["parts"].values():
        path = args.output_dir / part["file"]
        worst = max(output["largest_difference"] for output in part["outputs"])
        print(f"{path} ({path.stat().st_size / 1e6:.1f} MB), largest difference from PyTorch {worst:.1e}")


if __name__ == "__main__":
    raise SystemExit(main())
