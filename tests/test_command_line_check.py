"""The look at the command line: what is refused, what is named, and what stays allowed."""

import json
import os
from contextlib import nullcontext
from pathlib import Path

import pytest

from bundle.command_line import check_command_line, refuse_mistakes
from bundle.errors import ConfigError
from tests.workflows.running import CONFIGS

TRAINING = ("run", "training", "--config_file", f"{CONFIGS}/train.json")
DECODERS = ("run", "training", "--config_file", f"{CONFIGS}/train_decoders.json")
INFERENCE = ("run", "inference", "--config_file", f"{CONFIGS}/inference.json")


def stacked(*files: object) -> tuple[str, ...]:
    return ("run", "inference", "--config_file", str([str(file) for file in files]))


@pytest.mark.parametrize(
    "words",
    [
        TRAINING,
        (*DECODERS, "--train#trainer#max_epochs", "5", "--optimizer::weight_decay", "0.1"),
        (*DECODERS, "--network#working_sides", "[320]", "--_meta_#version", "1", "--local_epochs", "$2 + 3"),
        (*DECODERS, "--template-image", "a.png", "-template_landmarks=b.csv", "--optimizer#amsgrad"),
        (*TRAINING, "--workflow_type", "train", "--logging_file", "none", "--run_id", "training"),
        (*TRAINING[:2], f"--config_file={CONFIGS}/train.json,{CONFIGS}/head.json"),
        (*INFERENCE, "--dry_run", "--writers", "json", "--pixel_spacing", "0.1", "--flip", "auto"),
        (*INFERENCE, "--device", "$torch.device('cpu')", "--network", f"%{CONFIGS}/paper.json#network"),
        (*TRAINING, "--tracking", f"{CONFIGS}/tracking_tensorboard.json"),
        ("run_workflow", "--run_id", "inference", *INFERENCE[2:]),
        ("verify_net_in_out", "network_def", *INFERENCE[2:], "--n", "10", "--meta_file", "x", "--device", "cpu"),
    ],
    ids=lambda words: " ".join(words[4:])[:60],
)
def test_what_is_allowed(words: tuple[str, ...]) -> None:
    refuse_mistakes(words)


def test_mlflow_is_allowed_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = (*INFERENCE, "--tracking", f"{CONFIGS}/tracking_mlflow.json", "--experiment_name", "heads")
    monais = (*INFERENCE, "--tracking", "mlflow", "--tracking_uri", "sqlite:///mlruns.db")
    for found, expected in (
        (True, nullcontext()),
        (None, pytest.raises(ConfigError, match=r"requirements-mlflow\.txt")),
    ):
        monkeypatch.setattr("bundle.command_line.find_spec", lambda _name, found=found: found)
        for words in (ours, monais):
            with expected:
                refuse_mistakes(words)


@pytest.mark.parametrize("value", ["tensorboard", f"{CONFIGS}/head.json", "gone.json", "['a.json']", "{'a': 1}", None])
def test_tracking_takes_a_file_of_settings(value: str | None) -> None:
    with pytest.raises(ConfigError, match=r"--tracking is .*tracking_tensorboard.json or configs/tracking_mlflow.json"):
        refuse_mistakes((*INFERENCE, "--tracking", *([value] if value else [])))


@pytest.mark.parametrize("store", ["runs", "file:///runs"])
def test_a_folder_is_no_store_of_mlflow(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bundle.command_line.find_spec", lambda _name: True)
    with pytest.raises(ConfigError, match="sqlite:///FILE"):
        refuse_mistakes((*INFERENCE, "--tracking", f"{CONFIGS}/tracking_mlflow.json", "--tracking_uri", store))


def test_several_models_are_not_tracked() -> None:
    words = stacked(CONFIGS / "inference.json", CONFIGS / "several_models.json")
    with pytest.raises(ConfigError, match="the run of one model"):
        refuse_mistakes((*words, "--tracking", f"{CONFIGS}/tracking_tensorboard.json"))


@pytest.mark.parametrize("overlay", sorted(CONFIGS.glob("*.json")), ids=lambda path: path.stem)
def test_an_overlay_of_the_bundle_is_allowed_and_no_other_file(overlay: Path) -> None:
    words = stacked(CONFIGS / "inference.json", overlay)
    own = {"metadata", "measurements_cephalometry", "measurements_hand", "tracking_mlflow", "tracking_tensorboard"}
    if overlay.stem in own | {"inference", "evaluate", "train", "train_decoders"}:
        with pytest.raises(ConfigError, match=overlay.name):
            refuse_mistakes(words)
    else:
        refuse_mistakes(words)


def test_an_overlay_of_the_user_may_bring_what_it_uses(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(json.dumps({"side": 320, "network": {"working_sides": ["@side"]}}))
    refuse_mistakes(stacked(CONFIGS / "inference.json", tmp_path / "mine.json"))
    (tmp_path / "mine.json").write_text(json.dumps({"side": 320, "+netwrok": {"working_sides": ["@side"]}}))
    with pytest.raises(ConfigError, match=r"mine.json has netwrok, which no workflow uses: did you mean network\?"):
        refuse_mistakes(stacked(CONFIGS / "inference.json", tmp_path / "mine.json"))


def test_a_workflow_of_the_user_brings_its_own_keys(tmp_path: Path) -> None:
    own = {"bundle_root": ".", "sizes": [1, 2], "training": []}
    (tmp_path / "own.json").write_text(json.dumps(own))
    words = ("run", "training", "--config_file", str(tmp_path / "own.json"))
    refuse_mistakes((*words, "--sizes#1", "3"))
    with pytest.raises(ConfigError, match=r"did you mean sizes\?"):
        refuse_mistakes((*words, "--size", "3"))


def test_another_program_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["program", *INFERENCE, "--modle_path", os.devnull])
    check_command_line()
