r"""Run a table or figure of the paper on a prepared data set, and write it with the paper's figures beside ours.

Each cell is a training or an evaluation of the bundle in a folder of its own, with its command, its configuration and
its log. What is done is not done again, so an interrupted run goes on with the same command. Nothing is selected on the
images that are measured: the decoders are those of the last step.

Example:
    python scripts/prepare_dataset.py isbi2015 --source DOWNLOAD --output data/isbi2015
    python scripts/reproduce.py table2 --dataset data/isbi2015/dataset.json --output output/reproduction --seeds 0 1
"""

from collections.abc import Sequence
from pathlib import Path

from reproduction.budgets import BUDGETS, describe
from reproduction.cells import PLANS, Choice
from reproduction.dataset import read_data, write_images
from reproduction.running import Runner
from reproduction.tables import write_table

from bundle.records.console import CommandParser, command


def build_parser() -> CommandParser:
    """Command line of the script."""
    parser = CommandParser(__doc__)
    parser.add_argument("what", choices=sorted(PLANS), help="table or figure of the paper")
    parser.add_argument("--dataset", type=Path, required=True, help="dataset.json of scripts/prepare_dataset.py")
    parser.add_argument("--output", type=Path, required=True, help="folder of the reproduction; cells are kept there")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="seeds of the trainings (default 0 1)")
    parser.add_argument("--encoder", default="xfeat", help="short name of the encoder, or timm's (default xfeat)")
    parser.add_argument(
        "--encoder_weights", nargs="+", default=[], metavar="NAME=FILE", help="weights of encoders other than xfeat"
    )
    parser.add_argument("--budget", choices=sorted(BUDGETS), default="paper", help="length of the training")
    parser.add_argument("--split", help="images that are measured (default testing, else training)")
    parser.add_argument("--template", help="id of the template image (default: the one of the data set)")
    return parser


@command
def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = build_parser()
    args = parser.parse_args(argv)
    if len(set(args.seeds)) < len(args.seeds) or min(args.seeds) < 0:
        parser.error(f"--seeds is {args.seeds}: expected different whole numbers of at least 0")
    wrong = [text for text in args.encoder_weights if "=" not in text]
    if wrong:
        parser.error(f"--encoder_weights has {wrong[0]!r}: expected NAME=FILE such as dino_vits8=dino.pth")
    weights = dict(text.split("=", 1) for text in args.encoder_weights)
    data = read_data(args.dataset, args.split, args.template)
    output = args.output.resolve()
    choice = Choice(data.overlay, args.encoder, weights, args.seeds, args.budget)
    plan = PLANS[args.what](choice)
    runner = Runner(data, write_images(data, output / f"images-{data.split}.json"), output)
    found = {cell.name: runner.run(cell) for row in plan.rows for cell in row.cells}
    written = write_table(output / args.what, plan, found, data, describe(args.budget), runner.spent)
    print(written[0].read_text(encoding="utf-8"))
    print(f"written to {', '.join(str(path) for path in written)}")


if __name__ == "__main__":
    raise SystemExit(main())
