"""The bundle as it is handed on: a zip, unpacked into an empty folder, in an environment that knows nothing of it."""

import json
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import make_bundle
import pytest

from bundle.io.landmark_files import read_landmark_table
from tests.conftest import Sample, Trained
from tests.workflows.running import environment, run

#: What Python does with a bundle: the arguments are its folder, images, their truth, and the schema of the metadata.
USES = """
import sys
from pathlib import Path
import monai.bundle

folder, images, truth, schema = sys.argv[1:]
configs = Path(folder) / "configs"
if schema:
    monai.bundle.verify_metadata(str(configs / "metadata.json"), filepath=schema)
monai.bundle.verify_net_in_out(
    "network_def", meta_file=str(configs / "metadata.json"), config_file=str(configs / "inference.json"),
    device="cpu", n=10, bundle_root=folder,
)
for name in ("inference", "evaluate"):
    settings = {"bundle_root": folder, "dataset_dir": images} | ({"landmarks": truth} if name == "evaluate" else {})
    workflow = monai.bundle.ConfigWorkflow(str(configs / f"{name}.json"), workflow_type="infer", **settings)
    workflow.initialize()
    assert workflow.check_properties() == [], workflow.check_properties()
network = monai.bundle.load(
    Path(folder).name, bundle_dir=str(Path(folder).parent), workflow_type="inference", device="cpu",
    key_in_ckpt="model", args_file={"bundle_root": folder},
)
assert type(network).__module__ == "bundle.networks.network"
assert str(Path(sys.modules["bundle"].__file__).parents[1]) == folder
print("all uses work")
"""


@dataclass(frozen=True)
class Unpacked:
    """A bundle as somebody else has it.

    Attributes:
        folder: where it was unpacked to.
        python: the interpreter of an environment with all requirements, but without this project.
        elsewhere: a working directory.
    """

    folder: Path
    python: Path
    elsewhere: Path

    def call(self, *words: object) -> subprocess.CompletedProcess[str]:
        env = {name: value for name, value in environment().items() if name != "PYTHONPATH"}
        line = [str(self.python), *map(str, words)]
        return subprocess.run(
            line, cwd=self.elsewhere, env=env, capture_output=True, text=True, timeout=240, check=False
        )


def unpack(model: Path, folder: Path) -> Unpacked:
    """The bundle of a model, as a zip, in a folder of its own."""
    file = folder / "landmarks_of_hands.zip"
    assert make_bundle.main(["--model_path", str(model), "--output", str(file)]) == 0
    with zipfile.ZipFile(file) as archive:
        archive.extractall(folder)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True, timeout=120)
    (packages,) = (folder / "venv").glob("lib/python*/site-packages")
    # The packages of this environment, but nothing that their .pth files add, such as an editable installation.
    there = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "all.pth").write_text("\n".join(there) + "\n", encoding="utf-8")
    (folder / "elsewhere").mkdir()
    return Unpacked(folder / "landmarks_of_hands", folder / "venv" / "bin" / "python", folder / "elsewhere")


@pytest.fixture(scope="module")
def unpacked(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Unpacked:
    return unpack(trained.model, tmp_path_factory.mktemp("handed on"))


def test_it_has_what_a_bundle_of_the_model_zoo_has(unpacked: Unpacked) -> None:
    files = {path.relative_to(unpacked.folder).as_posix() for path in unpacked.folder.rglob("*") if path.is_file()}
    assert {"LICENSE", "configs/metadata.json", "docs/README.md", "models/model.pt", "bundle/__init__.py"} <= files
    assert not [name for name in files if "__pycache__" in name or name.startswith((".", "tests/", "sample/"))]
    assert unpacked.call("-c", "import bundle").returncode == 1, "the environment knows nothing of it"


@pytest.mark.slow
def test_all_uses_in_python(unpacked: Unpacked, small: Sample) -> None:
    url = json.loads((unpacked.folder / "configs" / "metadata.json").read_text(encoding="utf-8"))["schema"]
    schema = Path(os.environ.get("OSL_REAL_DATA", "")) / "monai" / url.rsplit("/", 1)[-1]
    known = schema if os.environ.get("OSL_REAL_DATA") and schema.is_file() else ""
    done = unpacked.call("-c", USES, unpacked.folder, small.images, small.truth, known)
    assert done.stdout.endswith("all uses work\n"), done.stderr[-3000:]


@pytest.mark.slow
def test_inference_and_evaluation_as_commands(
    unpacked: Unpacked, small: Sample, trained: Trained, tmp_path: Path
) -> None:
    """Paths of the user are those of the working directory, paths of the bundle those of its folder."""
    configs, images = unpacked.folder / "configs", os.path.relpath(small.images, unpacked.elsewhere)
    line = ["-m", "monai.bundle", "run", "--bundle_root", unpacked.folder, "--dataset_dir", images]
    inference = ["inference", "--config_file", configs / "inference.json", "--output_dir", "found"]
    evaluation = ["evaluation", "--config_file", configs / "evaluate.json", "--output_dir", "measured"]
    for words in (inference, [*evaluation, "--landmarks", small.truth]):
        done = unpacked.call(*line[:3], *words[:1], *line[3:], *words[1:])
        assert done.returncode == 0, done.stderr[-3000:]
    assert (unpacked.elsewhere / "measured" / "metrics.json").is_file()
    assert not (unpacked.folder / "output").exists()

    run("inference", model_path=trained.model, dataset_dir=small.images, output_dir=tmp_path, writers=["json"])
    here, there = (read_landmark_table(at / "landmarks.csv") for at in (tmp_path, unpacked.elsewhere / "found"))
    assert {name: row.points.tolist() for name, row in here.items()} == {
        name: row.points.tolist() for name, row in there.items()
    }


def test_a_bundle_of_an_annotated_image_as_it_is(small: Sample, tmp_path: Path) -> None:
    file = tmp_path / "untrained.zip"
    template = ["--template_image", str(small.image), "--template_landmarks", str(small.landmarks)]
    assert make_bundle.main([*template, "--output", str(file)]) == 0
    with zipfile.ZipFile(file) as archive:
        metadata = json.loads(archive.read("untrained/configs/metadata.json"))
        assert "untrained/models/model.pt" in archive.namelist()
    assert metadata["network_data_format"]["outputs"]["pred"]["num_channels"] > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--output", "a.zip"], "give --model_path, or --template_image with --template_landmarks"),
        (["--model_path", "none.pt", "--template_image", "a.png", "--output", "a.zip"], "has one model"),
        (["--model_path", "none.pt", "--output", "a.tar"], "ends in .zip"),
        (["--model_path", "none.pt", "--output", "a.zip"], "no trained model at none.pt"),
    ],
)
def test_what_is_refused(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert make_bundle.main(words) == 2
    assert said in capsys.readouterr().err and not list(tmp_path.iterdir())
