"""The script as its users run it, and a run with the configuration that it writes."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from bundle.io.landmark_files import read_landmark_table
from bundle.io.radiographs import read_radiograph
from bundle.records.radiograph import Radiograph
from scripts.calibrate import main
from tests.conftest import Sample
from tests.workflows.running import ROOT, TINY_NETWORK, run


@pytest.fixture(scope="module")
def labelled(small: Sample, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Six images: the three of the sample twice under other names."""
    folder = tmp_path_factory.mktemp("labelled")
    truth = read_landmark_table(small.truth)
    lines = []
    for name, landmarks in truth.items():
        for again in ("a", "b"):
            shutil.copy(small.images / f"{name}.dcm", folder / f"{name}{again}.dcm")
            lines.append(f"{name}{again}," + ",".join(f"{value:.2f}" for value in landmarks.points.ravel()))
    count = len(landmarks)
    header = "image," + ",".join(f"x{i},y{i}" for i in range(1, count + 1))
    (folder / "truth.csv").write_text("\n".join([header, *lines]) + "\n")
    return folder, folder / "truth.csv"


def test_factors_are_written_and_used(
    labelled: tuple[Path, Path], small: Sample, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, truth = labelled
    tiny = tmp_path / "tiny.json"
    tiny.write_text(json.dumps({"network": TINY_NETWORK}))
    output = tmp_path / "calibration.json"
    arguments = ["--template_image", str(small.image), "--template_landmarks", str(small.landmarks)]
    arguments += ["--dataset_dir", str(folder), "--landmarks", str(truth), "--config", str(tiny)]
    assert main([*arguments, "--output", str(output)]) == 0
    assert "6 images: mean error" in capsys.readouterr().out
    written = json.loads(output.read_text())
    factors = written["matching"]["error_factors"]
    assert len(factors) == 8 and all(factor > 0 for factor in factors)
    assert written["network"] == TINY_NETWORK and written["calibration"]["images"] == 6
    shares = [written["calibration"]["risk_coverage_px"][key] for key in ("0.5", "1")]
    assert shares[1] == pytest.approx(written["calibration"]["mean_error_px"], abs=1e-3) and shares[0] < 3 * shares[1]
    found = []
    for name, file in (("plain", tiny), ("calibrated", output)):
        overlay = os.path.relpath(file.with_suffix(""), ROOT / "configs")
        query = small.images / "phantom_001.dcm"
        run("inference", overlay, **small.template, dataset_dir=query, output_dir=tmp_path / name)
        found.append(json.loads((tmp_path / name / "phantom_001.json").read_text())["landmarks"])
    for plain, calibrated in zip(*found):
        assert (calibrated["x"], calibrated["y"]) == (plain["x"], plain["y"])
    lower = [c["confidence"] < p["confidence"] for p, c in zip(*found)]
    assert lower == [factor > 1 for factor in factors]

    # A file stands where the folder should be.
    assert main([*arguments, "--output", str(tiny / "calibration.json")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_images_are_read_as_the_network_has_them(
    labelled: tuple[Path, Path], small: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []

    def spy(path: str | Path, *given: Any, **options: Any) -> Radiograph:
        read.append((Path(path).stem, options["grey_values"]))
        return read_radiograph(path, *given, **options)

    monkeypatch.setattr("bundle.data.readable.read_radiograph", spy)
    monkeypatch.setattr("bundle.io.template.read_radiograph", spy)
    (tmp_path / "eight.json").write_text(json.dumps({"network": {**TINY_NETWORK, "grey_values": "eight_bit"}}))
    arguments = ["--template_image", str(small.image), "--template_landmarks", str(small.landmarks)]
    arguments += ["--dataset_dir", str(labelled[0]), "--landmarks", str(labelled[1])]
    assert main([*arguments, "--config", str(tmp_path / "eight.json"), "--output", str(tmp_path / "c.json")]) == 0
    assert len(read) == 7 and {how for _, how in read} == {"eight_bit"}


def test_too_few_images(small: Sample, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--template_image", str(small.image), "--template_landmarks", str(small.landmarks)]
    arguments += ["--dataset_dir", str(small.images), "--landmarks", str(small.truth)]
    assert main([*arguments, "--output", str(tmp_path / "c.json")]) == 2
    assert "gave 3 image(s) with truth, expected 5" in capsys.readouterr().err
    assert not (tmp_path / "c.json").exists()
