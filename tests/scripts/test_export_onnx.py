"""The script as its users run it, on the paper's network with a small transformer."""

import subprocess
import sys
from pathlib import Path

import pytest

from bundle.model import trained_model
from tests.test_export import XFEAT, check_files, write_model
from tests.workflows.running import ROOT, TINY_PAPER_NETWORK, environment

SCRIPT = ROOT / "scripts" / "export_onnx.py"

#: One block is enough: translating takes nearly all of the time.
PAPER = {**TINY_PAPER_NETWORK, "encoder": {**TINY_PAPER_NETWORK["encoder"], "block": 0}}


@pytest.mark.slow
def test_the_files_of_the_papers_network(tmp_path: Path) -> None:
    path = write_model(tmp_path / "model.pt", PAPER)
    line = [sys.executable, str(SCRIPT), "--model_path", "model.pt", "--image_size", "331", "277"]
    line += ["--output_dir", "onnx", "--encoder_weights", "random", "--batch", "2"]
    done = subprocess.run(
        line, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=240, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    told = done.stdout.splitlines()
    assert [text.split()[0] for text in told] == ["onnx/global.onnx", "onnx/local.onnx"]
    assert all("largest difference from PyTorch" in text and float(text.split()[-1]) < 1e-4 for text in told)
    check_files(tmp_path / "onnx", trained_model(path, encoder_weights="random").network, crops=2)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"--model_path": "none.pt"}, "there is no trained model at none.pt"),
        ({"--image_size": ("31", "100")}, "--image_size is 31 100"),
        ({"--image_size": ("100",)}, "--image_size"),
        ({"--batch": "0"}, "--batch is 0"),
        ({"--opset": "9"}, "--opset is 9: expected 18 to 23"),
        ({"--tolerance": "nan"}, "--tolerance is nan"),
        ({"--output_dir": "model.pt"}, "expected a folder"),
    ],
)
def test_what_is_refused(
    changed: dict[str, str | tuple[str, ...]],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In this process, because each start takes seconds."""
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "model.pt", XFEAT)
    import export_onnx as script

    options = {"--model_path": "model.pt", "--image_size": ("100", "90"), "--output_dir": "out", **changed}
    line = [
        part for name, value in options.items() for part in (name, *((value,) if isinstance(value, str) else value))
    ]
    assert script.main(line) == 2
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert said.startswith("error: ") and words in said
    assert not (tmp_path / "out").exists()
