"""Training: the same templates give the same model, and a killed training is continued, but no other one."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bundle.io.template import read_template
from bundle.model.checkpoint import read_checkpoint
from bundle.training.landmark_examples import fit_landmark
from tests.conftest import Sample, Trained
from tests.workflows.running import (
    ROOT,
    TINY_NETWORK,
    command,
    content,
    environment,
    read_config,
    refusal,
    run,
    run_until_killed,
    tiny_training,
    train,
)


def tensors(model: Path) -> dict[str, torch.Tensor]:
    """Everything that was learned."""
    checkpoint = read_checkpoint(model)
    assert checkpoint.learned is not None
    return {**checkpoint.decoders, **checkpoint.learned.tensors()}


def assert_equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    """To the last bit."""
    assert first and set(first) == set(second)
    assert [key for key in first if not torch.equal(first[key], second[key])] == []


@pytest.fixture(scope="module")
def three(small: Sample) -> dict[str, Any]:
    """A training from three annotated images."""
    images = [small.image, small.images / "phantom_001.dcm", small.images / "phantom_002.dcm"]
    return tiny_training(
        template_image=[str(image) for image in images],
        template_landmarks=[str(small.landmarks), str(small.truth), str(small.truth)],
        landmark_names=[f"L{index}" for index in range(8)],
    )


@pytest.fixture(scope="module")
def from_three(three: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("three")
    logs = "configs/tracking_tensorboard.json"
    train(**three, model_path=folder / "model.pt", output_dir=folder, tracking=logs)
    return folder / "model.pt"


class TestTinyTraining:
    def test_the_checkpoint_is_complete(self, trained: Trained, small: Sample) -> None:
        checkpoint = read_checkpoint(trained.model)
        template = read_template(small.image, small.landmarks)
        assert checkpoint.template.landmarks.names == template.landmarks.names
        np.testing.assert_array_equal(checkpoint.template.landmarks.points, template.landmarks.points)
        np.testing.assert_allclose(checkpoint.template.image, template.image, atol=1 / 65535)
        assert checkpoint.template.digest == template.digest and checkpoint.template.spacing == template.spacing
        for name, value in TINY_NETWORK.items():
            assert checkpoint.network[name] == value
        for name, value in read_config("train")["record"].items():
            expected = trained.settings.get(name, read_config("train")[name])
            assert value == f"@{name}" and checkpoint.training[name] == expected

    def test_no_state_is_left(self, trained: Trained) -> None:
        assert not list(trained.output.glob("*"))

    def test_inference_finds_the_landmarks_with_it(self, trained: Trained, small: Sample, tmp_path: Path) -> None:
        run("evaluate", model_path=trained.model, dataset_dir=small.images, landmarks=small.truth, output_dir=tmp_path)
        report = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
        assert report["mre_px"] < 16, "a twentieth of the image"


class TestSeveralTemplates:
    def test_filters_are_learned_and_errors_expected(self, from_three: Path) -> None:
        checkpoint = read_checkpoint(from_three)
        assert checkpoint.learned is not None and tuple(checkpoint.learned.layouts.shape) == (3, 8, 2)
        assert all(float(one.abs().max()) > 0 for one in checkpoint.learned.filters)
        assert checkpoint.training["held_out_error_px"] > 0 and checkpoint.training["strength"] == 1, (
            "with fewer than five"
        )
        assert len(checkpoint.matching["error_factors"]) == 8

    def test_the_loss_is_logged(self, from_three: Path) -> None:
        (file,) = from_three.parent.rglob("*tfevents*")
        assert len(EventAccumulator(str(file)).Reload().Scalars("train_loss")) == 8, "one per landmark"

    def test_another_image_is_found(self, from_three: Path, small: Sample, tmp_path: Path) -> None:
        run("evaluate", model_path=from_three, dataset_dir=small.images, landmarks=small.truth, output_dir=tmp_path)
        report = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
        assert report["images"] == 1 and report["mre_px"] < 10

    def test_again_it_is_the_same(self, three: dict[str, Any], from_three: Path, tmp_path: Path) -> None:
        train(**three, model_path=tmp_path / "model.pt", output_dir=tmp_path)
        assert_equal(tensors(from_three), tensors(tmp_path / "model.pt"))

    def test_without_images_the_points_are_the_same(
        self, three: dict[str, Any], from_three: Path, small: Sample, tmp_path: Path
    ) -> None:
        train(**three, keep_images=False, model_path=tmp_path / "model.pt", output_dir=tmp_path)
        bare = read_checkpoint(tmp_path / "model.pt")
        assert all(template.pixels is None for template in bare.template.all)
        assert bare.template.size == read_checkpoint(from_three).template.size
        assert (tmp_path / "model.pt").stat().st_size < from_three.stat().st_size - 3 * 2 * 320 * 200
        found = []
        for name, model in (("with", from_three), ("without", tmp_path / "model.pt")):
            run("inference", model_path=model, dataset_dir=small.images, output_dir=tmp_path / name, writers=["json"])
            found.append(json.loads((tmp_path / name / "phantom_003.json").read_text(encoding="utf-8"))["landmarks"])
        for one, other in zip(*found):
            assert (one["x"], one["y"]) == (other["x"], other["y"])
            assert one["back_match_error_px"] is not None and other["back_match_error_px"] is None
        assert "keep_images" in refusal(lambda: bare.template.image)

    def test_fast_settings_learn_without_crops(self, three: dict[str, Any], small: Sample, tmp_path: Path) -> None:
        settings = {**three, "matching": {"local_weight": 0.0, "decoder_weight": 0.0}}
        train(**settings, model_path=tmp_path / "model.pt", output_dir=tmp_path)
        learned = read_checkpoint(tmp_path / "model.pt").learned
        assert learned is not None and learned.crop_kernels is None and len(learned.filters) == 2
        run(
            "evaluate",
            model_path=tmp_path / "model.pt",
            dataset_dir=small.images,
            landmarks=small.truth,
            output_dir=tmp_path,
        )
        assert json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))["mre_px"] < 10


class TestAdapting:
    """A single template learns from unlabelled images."""

    def test_other_kernels_in_any_order_and_after_a_kill(self, small: Sample, tmp_path: Path) -> None:
        settings = tiny_training(**small.template, adapt=True)
        copies = tmp_path / "renamed"
        copies.mkdir()
        for new, old in zip("cab", sorted(small.images.glob("*.dcm"))):
            shutil.copy(old, copies / f"{new}.dcm")
        (copies / "broken.png").write_text("no image")
        shutil.copy(copies / "a.dcm", copies / "d.dcm")
        plain = tmp_path / "plain.pt"
        train(**{**settings, "adapt": False}, model_path=plain, output_dir=tmp_path / "plain")
        found = []
        for name, folder in (("one", small.images), ("other", copies)):
            train(**settings, dataset_dir=folder, model_path=tmp_path / f"{name}.pt", output_dir=tmp_path / name)
            found.append(tensors(tmp_path / f"{name}.pt"))
        assert_equal(*found)
        before = tensors(plain)
        assert torch.equal(before["layouts"], found[0]["layouts"])
        assert all(not torch.equal(before[key], found[0][key]) for key in before if key.startswith("kernels."))

    def test_it_says_what_it_needs(self, three: dict[str, Any], small: Sample, tmp_path: Path) -> None:
        paths = {"model_path": tmp_path / "model.pt", "output_dir": tmp_path}
        assert "3 annotated images" in refusal(lambda: train(**three, **paths, adapt=True, dataset_dir=small.images))
        alone = small.template["template_image"].parent
        settings = tiny_training(**small.template, **paths)
        assert "no image to adapt to" in refusal(lambda: train(**settings, adapt=True, dataset_dir=alone))
        assert "--dataset_dir" in refusal(lambda: train(**settings, adapt=True))
        assert not (tmp_path / "model.pt").exists()


class TestInterrupted:
    def test_a_process_that_was_killed_is_continued(
        self, three: dict[str, Any], from_three: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        settings = {**three, "model_path": tmp_path / "model.pt", "output_dir": tmp_path / "training"}
        run_until_killed("train#trainer", 2, "train", kind="train", **settings)
        kept = list(tmp_path.rglob("training/*/*_00*.pt"))
        assert {path.name for path in kept} == {"landmark_0000.pt", "landmark_0001.pt"}
        assert not (tmp_path / "model.pt").exists()
        with mock.patch("bundle.training.filter_training.fit_landmark", wraps=fit_landmark) as fitted:
            train(**settings)
        assert "continuing the training: 2 landmark results are there already" in capsys.readouterr().out
        assert fitted.call_count == 6, "nothing is done again"
        assert not any(path.exists() for path in kept)
        assert_equal(tensors(from_three), tensors(tmp_path / "model.pt"))

    def test_a_damaged_file_is_made_again(self, three: dict[str, Any], from_three: Path, tmp_path: Path) -> None:
        settings = {**three, "model_path": tmp_path / "model.pt", "output_dir": tmp_path}
        folder = Path(content("train", get="run_dir", kind="train", **settings))
        folder.mkdir(parents=True)
        (folder / "landmark_0000.pt").write_bytes(b"half of a f")
        train(**settings)
        assert_equal(tensors(from_three), tensors(tmp_path / "model.pt"))


class TestFolderOfARun:
    """Where the state of a training is kept: nothing that changes its result may share the folder."""

    @pytest.fixture(scope="class")
    def settings(self, small: Sample, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
        return tiny_training(**small.template, output_dir=tmp_path_factory.mktemp("runs"))

    @staticmethod
    def folder(settings: dict[str, Any], **changed: Any) -> str:
        return content("train", get="run_dir", kind="train", **{**settings, **changed})

    def test_it_is_the_same_in_another_process(self, settings: dict[str, Any]) -> None:
        code = "import sys, json; from tests.workflows.running import content; "
        code += "print(content('train', get='run_dir', kind='train', **json.loads(sys.argv[1])))"
        line = [command("", "train")[0], "-c", code, json.dumps(settings, default=str)]
        told = subprocess.run(
            line, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=200, check=True
        ).stdout
        assert told.splitlines()[-1] == self.folder(settings)

    def test_every_setting_that_counts_changes_it(self, settings: dict[str, Any]) -> None:
        folders = [
            self.folder(settings),
            self.folder(settings, seed=1),
            self.folder(settings, precision="bfloat16"),
            self.folder(settings, network={**TINY_NETWORK, "working_sides": [96, 320]}),
            self.folder(settings, matching={"patch": 1}),
        ]
        assert len(set(folders)) == 5
        assert self.folder(settings, keep_images=False) == folders[0]

    def test_so_does_the_template(self, settings: dict[str, Any], small: Sample, tmp_path: Path) -> None:
        lines = small.landmarks.read_text(encoding="utf-8").splitlines()
        name, x, y = lines[1].split(",")
        (tmp_path / "moved.csv").write_text("\n".join([lines[0], f"{name},{float(x) + 1},{y}", *lines[2:]]))
        (tmp_path / "renamed.csv").write_text("\n".join([lines[0], f"other,{x},{y}", *lines[2:]]))
        folders = [
            self.folder(settings),
            self.folder(settings, template_landmarks=tmp_path / "moved.csv"),
            self.folder(settings, template_landmarks=tmp_path / "renamed.csv"),
            self.folder(settings, template_image=small.images / "phantom_001.dcm"),
        ]
        assert len(set(folders)) == 4


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"network": {"wrong": 1}}, "network has no key 'wrong'"),
        ({"network": {"working_sides": [8]}}, "network.working_sides"),
        ({"network": {"encoder": {"name": "xfeat", "wrong": 1}}}, "wrong"),
        ({"network": {"encoder": {"name": "no_such_encoder"}}}, "no_such_encoder"),
        ({"matching": {"wrong": 1}}, "matching has no key 'wrong'"),
        ({"matching": {"strategy": "wrong"}}, "matching.strategy"),
        ({"pixel_spacing": [0.1, -0.1]}, "spacing"),
        ({"landmark_names": ["one"]}, "1 landmark names for 8 points"),
        ({"template_landmarks": None}, "--template_landmarks"),
        ({"network": {**TINY_NETWORK, "local_channels": 8}}, "8 local channels"),
        ({"matching": {"strategy": "paper"}}, "configs/train_decoders.json"),
    ],
)
def test_settings_that_cannot_be(changed: dict[str, Any], named: str, small: Sample, tmp_path: Path) -> None:
    settings = tiny_training(**small.template, model_path=tmp_path / "model.pt", output_dir=tmp_path)
    assert named in refusal(lambda: train(**{**settings, **changed}))
    assert not list(tmp_path.rglob("*.pt")), "it is refused before anything is trained"
