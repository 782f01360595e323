r"""Write the bundle with a model as a zip, to be handed on: the layout is that of MONAI's model zoo.

The zip has the configurations, the package, the documents, the licence, and ``models/model.pt``: a trained model, or
one made of an annotated image as it is. The metadata say what that model's network puts out. It runs from the folder
that it is unpacked to, without being installed, with ``--bundle_root FOLDER``. A model may hold the images that it was
made of.

Example:
    python scripts/make_bundle.py --model_path models/model.pt --output output/one_shot_landmarks.zip
    python scripts/make_bundle.py --template_image a.png --template_landmarks a.csv --output output/untrained.zip
"""

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from bundle.errors import ConfigError
from bundle.io.overwriting import refuse_to_overwrite
from bundle.io.template import read_template
from bundle.model import open_model, save_model, trained_model
from bundle.records.console import CommandParser, command
from bundle.writers.files import atomic_file

ROOT = Path(__file__).resolve().parents[1]
#: What goes into the zip beside models and metadata.
CONTENT = ("LICENSE", "README.md", "bundle", "configs", "docs", "pyproject.toml", "setup.py", "requirements*.txt")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", "*.ipynb")


def gather(folder: Path, model: Path | None, template: tuple[Path, Path] | None) -> None:
    """Lay out the bundle in a folder.

    Args:
        folder: an empty folder.
        model: the trained model, or None.
        template: image and landmarks of the template where there is no model.

    Raises:
        BundleError: when the model or the template cannot be used.
    """
    for pattern in CONTENT:
        for source in ROOT.glob(pattern):
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, folder / source.name, **({"ignore": LEFT_OUT} if source.is_dir() else {}))
    (folder / "models").mkdir()
    target = folder / "models" / "model.pt"
    if model is not None:
        shutil.copy(model, target)
    elif template is not None:
        made = open_model(model_path=None, template=read_template(*template))
        save_model(target, made.network, made.template, made.matching, {"trained": False})
    describe_network(folder / "configs" / "metadata.json", target)


def describe_network(metadata: Path, model: Path) -> None:
    """Let the metadata say what the network of a model puts out."""
    network = trained_model(model).network
    content = json.loads(metadata.read_text(encoding="utf-8"))
    with torch.no_grad():
        channels = network(torch.zeros(1, 1, 320, 320)).shape[1]
    content["network_data_format"]["outputs"]["pred"]["num_channels"] = channels
    metadata.write_text(json.dumps(content, indent=4, ensure_ascii=False) + "\n", encoding="utf-8")


@command
def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = CommandParser(__doc__)
    parser.add_argument("--model_path", type=Path, help="a trained model")
    parser.add_argument("--template_image", type=Path, help="or an annotated image, to be matched to without training")
    parser.add_argument("--template_landmarks", type=Path, help="its landmarks")
    parser.add_argument(
        "--image_size", type=int, nargs=2, metavar=("H", "W"), help="also as ONNX for images of this size"
    )
    parser.add_argument("--output", type=Path, required=True, help="the zip; the bundle in it has its name")
    args = parser.parse_args(argv)
    template = (args.template_image, args.template_landmarks)
    if args.output.suffix != ".zip":
        raise ConfigError(f"--output is {args.output}, expected a file that ends in .zip: name it so.")
    if (args.model_path is None) != all(template) or (args.model_path is not None and any(template)):
        raise ConfigError("a bundle has one model: give --model_path, or --template_image with --template_landmarks.")
    if args.model_path is not None and not args.model_path.is_file():
        raise ConfigError(f"there is no trained model at {args.model_path}: train one, or correct --model_path.")
    refuse_to_overwrite([args.output], [args.model_path, *template])
    with tempfile.TemporaryDirectory() as made:
        name = args.output.stem
        folder = Path(made) / name
        folder.mkdir()
        gather(folder, args.model_path, None if args.model_path else template)
        if args.image_size is not None:
            from bundle.export import export_model  # needs requirements-export.txt

            export_model(folder / "models" / "model.pt", tuple(args.image_size), folder / "models" / "onnx")
        packed = shutil.make_archive(str(Path(made) / "packed"), "zip", made, name)
        with atomic_file(args.output, binary=True) as file, Path(packed).open("rb") as archive:
            shutil.copyfileobj(archive, file)
    print(f"{args.output} ({args.output.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    raise SystemExit(main())
