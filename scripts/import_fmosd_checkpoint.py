"""Turn the two checkpoint files of the paper's public code into one checkpoint of this project.

GLOBAL.pth is the file of the global stage, LOCAL.pth that of the local stage; TEMPLATE is the image that they were
trained on, with its landmarks. The shape of the network comes from ``configs/paper.json``.

Example:
    python scripts/import_fmosd_checkpoint.py global.pth local.pth --template_image 125.bmp \
        --template_landmarks 125.csv --pixel_spacing 0.1 --output models/paper.pt
"""

from collections.abc import Sequence
from pathlib import Path

from bundle import CONFIGS
from bundle.io.overwriting import refuse_to_overwrite
from bundle.io.template import read_template
from bundle.model import import_fmosd, read_preset
from bundle.model.checkpoint import write_checkpoint
from bundle.networks import NetworkSettings
from bundle.records.console import CommandParser, command
from bundle.records.validation import validate


def build_parser() -> CommandParser:
    """Command line of the script."""
    parser = CommandParser("Turn the checkpoint files of FM-OSD's public code into a model.")
    parser.add_argument("global_file", type=Path, metavar="GLOBAL.pth", help="file of the global stage")
    parser.add_argument("local_file", type=Path, metavar="LOCAL.pth", help="file of the local stage")
    parser.add_argument("--template_image", type=Path, required=True, help="the image that they were trained on")
    parser.add_argument("--template_landmarks", type=Path, required=True, help="its landmark file")
    parser.add_argument("--output", type=Path, default=Path("models/model.pt"), help="default models/model.pt")
    parser.add_argument("--encoder_weights", default="hub", help="hub, random (for tests), or a file (default hub)")
    parser.add_argument("--pixel_spacing", type=float, nargs="+", metavar="MM", help="mm a pixel: one number, or x y")
    parser.add_argument("--landmark_names", nargs="+", metavar="NAME", help="other names for the landmarks")
    parser.add_argument("--k", type=int, help="candidates of each landmark: 3 for heads, 5 for hands (default 3)")
    parser.add_argument(
        "--config_file",
        type=Path,
        default=CONFIGS / "paper.json",
        help="the network that they were trained in (default configs/paper.json)",
    )
    return parser


@command
def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.k is not None and args.k < 1:
        parser.error(f"--k is {args.k}: expected at least one candidate")
    inputs = (args.global_file, args.local_file, args.template_image, args.template_landmarks, args.config_file)
    refuse_to_overwrite([args.output], inputs)
    network, matching = read_preset(args.config_file)
    template = read_template(
        args.template_image,
        args.template_landmarks,
        spacing=args.pixel_spacing,
        names=args.landmark_names,
        grey_values=validate(NetworkSettings, network, "network").grey_values,
    )
    checkpoint = import_fmosd(
        args.global_file,
        args.local_file,
        template,
        network=network,
        matching=matching if args.k is None else {**matching, "k": args.k},
        encoder_weights=args.encoder_weights,
    )
    written = write_checkpoint(args.output, checkpoint)
    print(f"model written to {written} ({written.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    raise SystemExit(main())
