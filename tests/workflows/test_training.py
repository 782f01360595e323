"""Training: the same seed gives the same decoders, and a killed training is continued, but no other one."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Events

from bundle.data import WarpedTemplate
from bundle.io.template import read_template
from bundle.model.checkpoint import read_checkpoint
from bundle.records.errors import ConfigError
from tests.conftest import Sample, Trained
from tests.workflows.running import (
    ROOT,
    TINY_NETWORK,
    at_bundle_root,
    command,
    content,
    environment,
    open_workflow,
    read_config,
    refusal,
    run,
    tiny_training,
    train,
)


def decoders(model: Path) -> dict[str, torch.Tensor]:
    return dict(read_checkpoint(model).decoders)


def assert_equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    """To the last bit."""
    assert first and set(first) == set(second)
    assert [key for key in first if not torch.equal(first[key], second[key])] == []


class Interrupt(Exception):
    """Stands for a killed process."""


def interrupt(after: int, **settings: Any) -> Path:
    """Train, but die after so many epochs; the folder of the run."""

    def stop(engine: Any) -> None:
        raise Interrupt

    with at_bundle_root():
        workflow = open_workflow("train", kind="train", **settings)
        workflow.initialize()
        run_dir = workflow.parser.get_parsed_content("run_dir")
        trainer = workflow.parser.get_parsed_content("train#trainer")
        workflow.parser.get_parsed_content("local_run")  # whose saver is attached in run()
        trainer.add_event_handler(Events.EPOCH_STARTED(once=after + 1), stop)
        with pytest.raises(RuntimeError) as caught:
            workflow.run()
    assert isinstance(caught.value.__cause__, Interrupt)
    return Path(run_dir)


class TestTinyTraining:
    def test_the_checkpoint_is_complete(self, trained: Trained, small: Sample) -> None:
        checkpoint = read_checkpoint(trained.model)
        template = read_template(small.image, small.landmarks)
        assert checkpoint.template.landmarks.names == template.landmarks.names
        np.testing.assert_array_equal(checkpoint.template.landmarks.points, template.landmarks.points)
        np.testing.assert_allclose(checkpoint.template.pixels, template.pixels, atol=1 / 65535)
        assert checkpoint.template.digest == template.digest and checkpoint.template.spacing == template.spacing
        for name, value in TINY_NETWORK.items():
            assert checkpoint.network[name] == value
        for name, value in read_config("train")["record"].items():
            expected = trained.settings.get(name, read_config("train")[name])
            assert value == f"@{name}" and checkpoint.training[name] == expected

    def test_no_state_is_left_but_the_log_is(self, trained: Trained) -> None:
        files = [path for path in trained.output.rglob("*") if path.is_file()]
        assert files and all("tfevents" in path.name for path in files)

    def test_the_loss_and_the_error_are_logged(self, trained: Trained) -> None:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        logged: dict[str, int] = {}
        for folder in {path.parent for path in trained.output.rglob("*tfevents*")}:
            events = EventAccumulator(str(folder)).Reload()
            logged |= {tag: len(events.Scalars(tag)) for tag in events.Tags()["scalars"]}
        assert logged.get("train_loss", 0) >= 2
        assert logged.get("val_error", 0) >= 1

    def test_inference_finds_the_landmarks_with_it(self, trained: Trained, small: Sample, tmp_path: Path) -> None:
        run("evaluate", model_path=trained.model, dataset_dir=small.images, landmarks=small.truth, output_dir=tmp_path)
        report = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
        assert report["mre_px"] < 16, "a twentieth of the image"


def test_the_same_seed_gives_the_same_decoders_and_another_others(trained: Trained, tmp_path: Path) -> None:
    first = decoders(trained.model)
    for seed in (0, 1):
        settings = {**trained.settings, "model_path": tmp_path / "model.pt", "output_dir": tmp_path}
        train(**settings, seed=seed)
        again = decoders(tmp_path / "model.pt")
        if seed == 0:
            assert_equal(first, again)
        else:
            assert not any(torch.equal(first[key], again[key]) for key in first if first[key].numel() > 1000), (
                "of the other seed"
            )


class TestInterrupted:
    EPOCHS = 3

    @pytest.fixture(scope="class")
    def settings(self, small: Sample) -> dict[str, Any]:
        return tiny_training(**small.template, local_epochs=self.EPOCHS, warps=2)

    @pytest.fixture(scope="class")
    def whole(self, settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
        folder = tmp_path_factory.mktemp("whole")
        train(**settings, model_path=folder / "model.pt", output_dir=folder)
        return folder / "model.pt"

    def test_it_goes_on_where_it_stopped(self, settings: dict[str, Any], whole: Path, tmp_path: Path) -> None:
        paths = {"model_path": tmp_path / "model.pt", "output_dir": tmp_path / "training"}
        run_dir = interrupt(1, **settings, **paths)
        assert not (tmp_path / "model.pt").exists()
        assert [path.name for path in run_dir.rglob("state.pt")]
        run_dir_seen = []
        with at_bundle_root():
            workflow = open_workflow("train", kind="train", **settings, **paths)
            workflow.initialize()
            run_dir_seen.append(workflow.parser.get_parsed_content("run_dir"))
            epochs: list[int] = []
            trainer = workflow.parser.get_parsed_content("train#trainer")
            trainer.add_event_handler(Events.EPOCH_STARTED, lambda engine: epochs.append(engine.state.epoch))
            workflow.run()
        assert run_dir_seen == [str(run_dir)]
        assert epochs == list(range(2, self.EPOCHS + 1))
        assert_equal(decoders(whole), decoders(tmp_path / "model.pt"))
        assert not [path for path in run_dir.rglob("*") if path.suffix in (".pt", ".partial")]

    def test_a_process_that_was_killed_is_continued(
        self, settings: dict[str, Any], whole: Path, tmp_path: Path
    ) -> None:
        settings = {**settings, "model_path": tmp_path / "model.pt", "output_dir": tmp_path / "training"}
        with (tmp_path / "log").open("w") as log:
            process = subprocess.Popen(
                command("training", "train", **settings), cwd=ROOT, env=environment(), stdout=log, stderr=log
            )
            try:
                deadline = time.monotonic() + 200
                while not list(tmp_path.rglob("state.pt")) and process.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.002)
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait()
        assert process.returncode == -signal.SIGKILL, (tmp_path / "log").read_text()[-3000:]
        (state,) = tmp_path.rglob("state.pt")
        assert not (tmp_path / "model.pt").exists()
        train(**settings)
        assert not state.exists(), "the new process took the old one's state and removed it in the end"
        assert_equal(decoders(whole), decoders(tmp_path / "model.pt"))

    def test_other_settings_start_anew(self, settings: dict[str, Any], small: Sample, tmp_path: Path) -> None:
        output = tmp_path / "training"
        run_dir = interrupt(1, **settings, model_path=tmp_path / "a.pt", output_dir=output)
        changed = {**settings, "learning_rate": 0.01, "local_epochs": 1}
        train(**changed, model_path=tmp_path / "b.pt", output_dir=output)
        assert list(run_dir.rglob("state.pt")), "that of the other training stays"
        train(**changed, model_path=tmp_path / "c.pt", output_dir=tmp_path / "elsewhere")
        assert_equal(decoders(tmp_path / "b.pt"), decoders(tmp_path / "c.pt"))


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

    def test_every_setting_of_the_training_changes_it(self, settings: dict[str, Any]) -> None:
        config = read_config("train")
        numbers = {name for name, value in config.items() if isinstance(value, int | float)}
        numbers -= {"feature_memory_gb", "feature_disk_gb"}  # where features are kept changes no result
        numbers -= {"max_pixels", "voi_lut"}  # how the template is read counts by its pixels
        before = self.folder(settings)
        kept = []
        for name in sorted(numbers):
            value = settings.get(name, config[name])
            if self.folder(settings, **{name: value + 1 if isinstance(value, int) else value / 2}) == before:
                kept.append(name)
        assert kept == []

    def test_so_do_network_and_warping(self, settings: dict[str, Any]) -> None:
        warping = read_config("train")["train"]["warping"]
        folders = [
            self.folder(settings),
            self.folder(settings, network={**TINY_NETWORK, "working_sides": [96, 320]}),
            self.folder(settings, **{"train#warping#0#rotate_range": 0.3}),
            self.folder(settings, **{"train#warping": warping[:2]}),
        ]
        assert len(set(folders)) == 4

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


class TestWarps:
    def test_a_warp_depends_on_seed_and_number_only(self, small: Sample) -> None:
        with at_bundle_root():
            workflow = open_workflow("train", kind="train", **tiny_training(**small.template))
            workflow.initialize()
            template, transform = (
                workflow.parser.get_parsed_content(key) for key in ("template", "train#preprocessing")
            )
        first, second = (WarpedTemplate(template, transform, count=3, seed=5) for _ in range(2))
        last = second[2]["image"]
        for index in range(3):
            assert torch.equal(first[index]["image"], second[index]["image"])
            assert torch.equal(first[index]["landmarks"], second[index]["landmarks"])
        assert torch.equal(first[2]["image"], last), "in any order"
        assert not torch.equal(first[0]["image"], first[1]["image"])
        other = WarpedTemplate(template, transform, count=3, seed=6)
        assert not torch.equal(first[0]["image"], other[0]["image"])

    def test_there_has_to_be_one(self, small: Sample) -> None:
        template = read_template(small.image, small.landmarks)
        with pytest.raises(ConfigError, match="0 warps"):
            WarpedTemplate(template, lambda item: item, count=0, seed=0)


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
        ({"landmark_names": ["one"]}, "1 landmark names were given for 8"),
        ({"template_landmarks": None}, "--template_landmarks"),
        ({"warps": 0}, "0 warps"),
        ({"warps": 1}, "fewer warps than one batch"),
        ({"network": {**TINY_NETWORK, "whitening": False}}, "network.whitening"),
        ({"network": {**TINY_NETWORK, "local_channels": 0}}, "local_channels"),
    ],
)
def test_settings_that_cannot_be(changed: dict[str, Any], named: str, small: Sample, tmp_path: Path) -> None:
    settings = tiny_training(**small.template, model_path=tmp_path / "model.pt", output_dir=tmp_path)
    assert named in refusal(lambda: train(**{**settings, **changed}))
    assert not list(tmp_path.rglob("*.pt")), "it is refused before anything is trained"
