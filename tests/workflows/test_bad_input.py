"""Every bad input costs one clear sentence that names it, and nothing else."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bundle.io.landmark_files import read_landmark_table
from bundle.model.checkpoint import read_checkpoint, write_checkpoint
from tests.conftest import Sample, Trained
from tests.io.image_files import picture, write_dicom
from tests.workflows.running import content, failures, refusal, run

BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "text.png": (lambda path: path.write_text("no image\n"), "text.png is named .png but holds no image"),
    "empty.png": (lambda path: path.write_bytes(b""), "empty.png is named .png but holds no image"),
    "frames.dcm": (
        lambda path: write_dicom(path, np.concatenate([picture(), picture()]), Rows=40, NumberOfFrames=2),
        "frames.dcm",
    ),
    "photo.png": (
        lambda path: Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(path),
        "photo.png is a colour image",
    ),
    "tiny.png": (lambda path: Image.new("L", (1, 1), 9).save(path), "tiny.png is 1 x 1 pixels"),
    "flat.png": (lambda path: Image.new("L", (64, 64), 9).save(path), "flat.png"),
    "cut.dcm": (lambda path: _cut(write_dicom(path, picture())), "cut.dcm"),
}


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-400])


def infer(model: Path, **settings: Any) -> None:
    run("inference", model_path=model, **settings)


def evaluate(model: Path, **settings: Any) -> None:
    run("evaluate", model_path=model, **settings)


class TestBrokenImages:
    @pytest.fixture
    def images(self, small: Sample, tmp_path: Path) -> Path:
        """Every kind of broken file between good ones."""
        folder = tmp_path / "images"
        shutil.copytree(small.images, folder)
        for name, (write, _) in BROKEN.items():
            write(folder / name)
        return folder

    def test_inference_does_the_others(
        self, images: Path, trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as exit_status:
            infer(trained.model, dataset_dir=images, output_dir=tmp_path / "out", writers=["json"])
        assert exit_status.value.code == 1
        reasons = failures(tmp_path / "out")
        assert set(reasons) == set(BROKEN)
        for name, (_, said) in BROKEN.items():
            assert said in reasons[name] and reasons[name].endswith("."), reasons[name]
        assert list(read_landmark_table(tmp_path / "out" / "landmarks.csv")) == [
            "phantom_001",
            "phantom_002",
            "phantom_003",
        ]
        told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert sorted(told) == sorted(f"error: {reason}" for reason in reasons.values())

    def test_evaluation_measures_the_others(
        self, images: Path, trained: Trained, small: Sample, tmp_path: Path
    ) -> None:
        lines = small.truth.read_text(encoding="utf-8").splitlines()
        extra = [",".join(["text", *lines[1].split(",")[1:]])]
        (tmp_path / "truth.csv").write_text("\n".join([*lines, *extra]) + "\n", encoding="utf-8")
        with pytest.raises(SystemExit):
            evaluate(trained.model, dataset_dir=images, landmarks=tmp_path / "truth.csv", output_dir=tmp_path / "out")
        report = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
        assert report["images"] == 3 and report["failed_images"] == ["text.png"]
        assert set(failures(tmp_path / "out")) == {"text.png"}

    def test_nothing_but_broken_files(self, trained: Trained, tmp_path: Path) -> None:
        (tmp_path / "images").mkdir()
        (tmp_path / "images" / "text.png").write_text("no image\n")
        with pytest.raises(SystemExit) as exit_status:
            infer(trained.model, dataset_dir=tmp_path / "images", output_dir=tmp_path / "out")
        assert exit_status.value.code == 2
        assert set(failures(tmp_path / "out")) == {"text.png"}

    def test_nothing_but_broken_files_to_measure(self, trained: Trained, small: Sample, tmp_path: Path) -> None:
        (tmp_path / "images").mkdir()
        (tmp_path / "images" / "phantom_001.png").write_text("no image\n")
        with pytest.raises(SystemExit) as exit_status:
            evaluate(trained.model, dataset_dir=tmp_path / "images", landmarks=small.truth, output_dir=tmp_path / "out")
        assert exit_status.value.code == 2
        report = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
        assert report["images"] == report["points"] == 0 and report["failed_images"] == ["phantom_001.png"]
        assert report["mre_mm"] is None and report["seconds_per_image"] is None


class TestTemplate:
    @staticmethod
    def refused(small: Sample, landmarks: Path, **settings: Any) -> str:
        template = {"template_image": small.image, "template_landmarks": landmarks}
        return refusal(lambda: content("inference", get="template", **template, **settings))

    @pytest.mark.parametrize(
        ("rows", "named"),
        [
            (["a,10,10", "b,9999,10"], "landmark b at (x=9999"),
            (["a,10,10", "b,10,-3"], "landmark b at (x=10, y=-3)"),
            (["a,10,10", "b,,"], "landmark b has no coordinates"),
            (["a,10,10", "b,nan,nan"], "landmark b has no coordinates"),
        ],
    )
    def test_landmarks_that_cannot_be(self, rows: list[str], named: str, small: Sample, tmp_path: Path) -> None:
        (tmp_path / "template.csv").write_text("\n".join(["name,x,y", *rows]) + "\n", encoding="utf-8")
        said = self.refused(small, tmp_path / "template.csv")
        assert named in said

    def test_a_table_without_its_row(self, small: Sample) -> None:
        assert "phantom_000" in self.refused(small, small.truth)

    def test_names_that_are_too_few(self, small: Sample) -> None:
        assert "2 landmark names" in self.refused(small, small.landmarks, landmark_names=["a", "b"])


class TestTruth:
    def test_another_number_of_landmarks(self, trained: Trained, sample: Sample, tmp_path: Path) -> None:
        said = refusal(
            lambda: evaluate(
                trained.model, dataset_dir=sample.images, landmarks=sample.truth, output_dir=tmp_path / "out"
            )
        )
        assert "phantom_001 has 37 landmarks, but the template has 8" in said
        assert not (tmp_path / "out").exists()

    def test_a_folder_without_truth(self, trained: Trained, small: Sample, tmp_path: Path) -> None:
        (tmp_path / "images").mkdir()
        shutil.copy(small.images / "phantom_001.dcm", tmp_path / "images" / "other.dcm")
        said = refusal(
            lambda: evaluate(
                trained.model, dataset_dir=tmp_path / "images", landmarks=small.truth, output_dir=tmp_path / "out"
            )
        )
        assert str(small.truth) in said and "of none in" in said


class Harmful:
    """What a pickle would execute."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


class TestCheckpoint:
    def refused(self, small: Sample, path: Path, **settings: Any) -> str:
        return refusal(lambda: infer(path, dataset_dir=small.images, output_dir=path.parent / "out", **settings))

    def test_of_other_weights_of_the_encoder(self, trained: Trained, small: Sample, tmp_path: Path) -> None:
        checkpoint = read_checkpoint(trained.model)
        changed = {**checkpoint.__dict__, "encoder_digest": "0" * 64}
        said = self.refused(small, write_checkpoint(tmp_path / "model.pt", type(checkpoint)(**changed)))
        assert "other weights" in said and "0" * 12 in said

    def test_whose_decoders_do_not_fit_its_settings(self, trained: Trained, small: Sample, tmp_path: Path) -> None:
        checkpoint = read_checkpoint(trained.model)
        changed = {**checkpoint.__dict__, "decoders": {}}
        said = self.refused(small, write_checkpoint(tmp_path / "model.pt", type(checkpoint)(**changed)))
        assert "model.pt" in said and "train again" in said

    @pytest.mark.parametrize(
        "data", [b"\x80\x02not a checkpoint", b"()x", b"", np.random.default_rng(0).bytes(5000), b"text\n" * 90]
    )
    def test_that_is_a_random_file(self, data: bytes, small: Sample, tmp_path: Path) -> None:
        (tmp_path / "model.pt").write_bytes(data)
        assert "model.pt" in self.refused(small, tmp_path / "model.pt")

    def test_that_is_cut_short(self, trained: Trained, small: Sample, tmp_path: Path) -> None:
        (tmp_path / "model.pt").write_bytes(trained.model.read_bytes()[:-1000])
        assert "model.pt" in self.refused(small, tmp_path / "model.pt")

    @pytest.mark.parametrize("write", [lambda value, path: path.write_bytes(pickle.dumps(value)), torch.save])
    def test_that_holds_code(self, write: Callable[[Any, Path], Any], small: Sample, tmp_path: Path) -> None:
        write({"format": Harmful(tmp_path / "executed")}, tmp_path / "model.pt")
        assert "model.pt" in self.refused(small, tmp_path / "model.pt")
        assert not (tmp_path / "executed").exists()

    @pytest.mark.parametrize("value", [{}, [], {"model": {}}, {"format": "one-shot-landmarks/checkpoint/999"}])
    def test_of_another_format(self, value: Any, small: Sample, tmp_path: Path) -> None:
        torch.save(value, tmp_path / "model.pt")
        said = self.refused(small, tmp_path / "model.pt")
        assert "is not of the format" in said
