"""The script as its users run it, and a run with the model that it makes."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest

from bundle.io.landmark_files import read_landmark_table
from bundle.model.checkpoint import read_checkpoint
from tests.conftest import Sample
from tests.reference.ruled_weights import write_ruled
from tests.workflows.forked import run_forked
from tests.workflows.running import ROOT, TINY_PAPER_NETWORK, run

SCRIPT = ROOT / "scripts" / "import_fmosd_checkpoint.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of both stages, and a configuration of the tiny network that they fit."""
    folder = tmp_path_factory.mktemp("fmosd")
    write_ruled(folder, {}, 17 * 192, 16)
    matching = {"strategy": "paper", "k": "@candidates", "patch": 1}
    settings = {"network": TINY_PAPER_NETWORK, "matching": matching, "candidates": 3}
    (folder / "tiny.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def call(small: Sample, cwd: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    words = ["--encoder_weights", "random", "--template_image", small.image]
    words += ["--template_landmarks", small.landmarks, *arguments]
    with tempfile.TemporaryDirectory() as log:
        return run_forked(str(SCRIPT), [str(word) for word in words], cwd, Path(log))


def test_the_model_finds_landmarks(folder: Path, small: Sample, tmp_path: Path) -> None:
    shutil.copy(folder / "global.pth", tmp_path)
    names = [f"point {index}" for index in range(8)]
    options = ["--output", "model.pt", "--config_file", folder / "tiny.json", "--k", "5"]
    more = ["--pixel_spacing", "0.5", "0.25", "--landmark_names", *names]
    done = call(small, tmp_path, "global.pth", folder / "local.pth", *options, *more)
    assert (done.returncode, done.stderr) == (0, "")
    assert "model written to model.pt (" in done.stdout
    checkpoint = read_checkpoint(tmp_path / "model.pt")
    assert checkpoint.matching["k"] == 5 and checkpoint.template.spacing == (0.5, 0.25)
    assert list(checkpoint.template.landmarks.names) == names
    run(
        "inference",
        model_path=tmp_path / "model.pt",
        encoder_weights="random",
        dataset_dir=small.images,
        output_dir=tmp_path / "out",
        writers=["json"],
    )
    found = read_landmark_table(tmp_path / "out" / "landmarks.csv")
    assert len(found) == 3
    # Of a random network some points lie outside the exposed field, where they count as missing.
    assert all(np.isfinite(landmarks.points).any() and len(landmarks) == 8 for landmarks in found.values())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{local}", "{global}"], "the file of the global stage first"),
        (["none.pth", "{local}"], "there is no file none.pth"),
        (["{global}", "{local}", "--template_image", "none.png"], "none.png"),
        (["{global}", "{local}", "--config_file", "none.json"], "none.json is no configuration"),
        (["{global}", "{local}", "--landmark_names", "a"], "8"),
        (["{global}", "{local}", "--output", "."], "cannot be written"),
        (["{global}"], "LOCAL.pth"),
        (["{global}", "{local}", "--k", "0"], "--k is 0"),
        (["{global}", "{local}", "--pixel_spacing", "-1"], "the pixel spacing is [-1"),
        (["{global}", "{local}", "--output", "{global}"], "would be written over"),
    ],
)
def test_what_is_refused(
    arguments: list[str],
    words: str,
    folder: Path,
    small: Sample,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In this process, because each start takes seconds."""
    monkeypatch.chdir(tmp_path)
    import import_fmosd_checkpoint as script

    given = [part.format(**{"global": folder / "global.pth", "local": folder / "local.pth"}) for part in arguments]
    options = ["--config_file", folder / "tiny.json", "--encoder_weights", "random", "--output", "model.pt"]
    options += ["--template_image", small.image, "--template_landmarks", small.landmarks]
    line = [*given[: 2 if len(given) > 1 else 1], *map(str, options), *given[2:]]
    assert script.main(line) == 2
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert said.startswith("error: ") and words in said
    assert not (tmp_path / "model.pt").exists()
