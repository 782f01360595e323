"""The commands of the README, each in a process of its own."""

import csv
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from bundle.io.landmark_files import read_landmark_table
from tests.conftest import Sample
from tests.workflows.running import TINY_NETWORK, run_command, tiny_training


def last_words(finished: subprocess.CompletedProcess[str]) -> str:
    return f"status {finished.returncode}\n{finished.stdout[-2000:]}\n{finished.stderr[-4000:]}"


def assert_one_error(finished: subprocess.CompletedProcess[str], *named: str, status: int = 2) -> None:
    """Exit status, one sentence, no traceback."""
    assert finished.returncode == status, last_words(finished)
    both = finished.stdout + finished.stderr
    assert "Traceback" not in both, last_words(finished)
    errors = [line for line in both.splitlines() if re.search(r"\berror\b", line, re.IGNORECASE)]
    assert len(errors) == 1 and errors[0].startswith("error: ") and errors[0].endswith("."), last_words(finished)
    for name in named:
        assert name in errors[0]


class TestSequence:
    """Training, inference and evaluation, one after the other, as in the demo."""

    @pytest.fixture(scope="class")
    def folder(self, sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
        folder = tmp_path_factory.mktemp("sequence")
        trained = run_command(
            "training",
            "train",
            **tiny_training(**sample.template),
            model_path=folder / "model.pt",
            output_dir=folder / "training",
        )
        assert trained.returncode == 0, last_words(trained)
        inferred = run_command(
            "inference",
            "inference",
            dataset_dir=sample.images,
            model_path=folder / "model.pt",
            output_dir=folder / "inference",
        )
        assert inferred.returncode == 0, last_words(inferred)
        measured = run_command(
            "evaluation",
            "evaluate",
            dataset_dir=sample.images,
            landmarks=folder / "inference" / "landmarks.csv",  # what was found, as the truth
            model_path=folder / "model.pt",
            output_dir=folder / "evaluation",
        )
        assert measured.returncode == 0, last_words(measured)
        return folder

    def test_training_leaves_one_checkpoint(self, folder: Path) -> None:
        assert sorted(path.name for path in folder.iterdir()) == ["evaluation", "inference", "model.pt", "training"]
        assert (folder / "model.pt").stat().st_size < 25e6
        assert not [path for path in (folder / "training").rglob("*") if path.suffix in (".pt", ".tmp")]

    def test_inference_writes_every_file(self, folder: Path) -> None:
        expected = {"landmarks.csv", "poses.csv", "errors.csv", "report.html", "checksums.sha256"}
        for number in (1, 2, 3):
            expected |= {f"phantom_00{number}{suffix}" for suffix in (".json", ".mrk.json", ".png")}
        assert {path.name for path in (folder / "inference").iterdir()} == expected
        assert (folder / "inference" / "errors.csv").read_text() == "file,reason\n"

    def test_the_table_reads_back(self, folder: Path, sample: Sample) -> None:
        found = read_landmark_table(folder / "inference" / "landmarks.csv")
        truth = read_landmark_table(sample.truth)
        assert list(found) == list(truth) == ["phantom_001", "phantom_002", "phantom_003"]
        for name, points in found.items():
            document = json.loads((folder / "inference" / f"{name}.json").read_text(encoding="utf-8"))
            listed = [[landmark["x"], landmark["y"]] for landmark in document["landmarks"]]
            np.testing.assert_allclose(points.points, listed, atol=0.0011)
            error = np.linalg.norm(points.points - truth[name].points, axis=1)
            assert np.median(error) < 16, "a twentieth of the image"

    def test_predictions_measured_against_themselves(self, folder: Path) -> None:
        report = json.loads((folder / "evaluation" / "metrics.json").read_text(encoding="utf-8"))
        assert {"mre_mm", "sdr", "images", "landmarks", "seconds_per_image", "per_landmark"} <= set(report)
        assert report["mre_mm"] < 0.002 and report["mre_px"] < 0.002
        assert report["sdr"] == {"2.0": 100.0, "2.5": 100.0, "3.0": 100.0, "4.0": 100.0}
        assert (report["images"], report["landmarks"], report["points"]) == (3, 37, 111)
        assert report["seconds_per_image"] > 0
        assert len(report["per_landmark"]) == 37
        assert report["images_without_truth"] == report["truth_without_image"] == report["failed_images"] == []
        with (folder / "evaluation" / "metrics.csv").open(encoding="utf-8", newline="") as file:
            assert len(list(csv.reader(file))) == 1 + 111


def test_without_training_and_with_a_broken_file_among_good_ones(sample: Sample, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    shutil.copy(sample.images / "phantom_001.dcm", images / "a.dcm")
    (images / "b.dcm").write_bytes((sample.images / "phantom_002.dcm").read_bytes()[:20_000])
    shutil.copy(sample.images / "phantom_003.dcm", images / "c.dcm")
    finished = run_command(
        "inference",
        "inference",
        dataset_dir=images,
        output_dir=tmp_path / "out",
        network=TINY_NETWORK,
        **sample.template,
    )
    assert_one_error(finished, "b.dcm", status=1)
    assert list(read_landmark_table(tmp_path / "out" / "landmarks.csv")) == ["a", "c"]
    assert {"a.json", "a.mrk.json", "a.png", "c.json", "c.mrk.json", "c.png"} <= {
        path.name for path in (tmp_path / "out").iterdir()
    }
    with (tmp_path / "out" / "errors.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["file", "reason"]
    ((file_name, reason),) = rows
    assert file_name == str(images / "b.dcm") and reason.endswith(".") and f"error: {reason}" in finished.stderr
