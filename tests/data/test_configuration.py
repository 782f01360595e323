"""A fingerprint holds whatever a configuration can change."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser
from monai.bundle.utils import DEFAULT_MLFLOW_SETTINGS

from bundle.data.journal import WITHOUT_EFFECT, configuration_fingerprint, run_fingerprint
from bundle.errors import ConfigError
from tests.workflows.running import CONFIGS, at_bundle_root

WORKFLOWS = ("train", "train_decoders", "inference", "evaluate")


def read(*names: str, **override: Any) -> dict[str, Any]:
    with at_bundle_root():
        parser = ConfigParser()
        parser.read_config([f"configs/{name}.json" for name in names])
        parser.update(override)
        parser.parse()
    return parser.config


def leaves(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    inside = [leaf for key, value in items for leaf in leaves(value, (*path, key))]
    yield from inside or [path]


def changed(config: dict[str, Any], path: tuple[Any, ...]) -> dict[str, Any]:
    other = copy.deepcopy(config)
    node = other
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = ["something else", node[path[-1]]]
    return other


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_value_counts_but_those_that_are_known_not_to(name: str) -> None:
    config = read(name)
    before = configuration_fingerprint(config)
    same = {path for path in leaves(config) if configuration_fingerprint(changed(config, path)) == before}
    assert same == {path for path in leaves(config) if path[0] in WITHOUT_EFFECT}
    assert configuration_fingerprint({**config, "new": 1}) != before
    assert configuration_fingerprint(copy.deepcopy(config)) == before


@pytest.mark.parametrize(
    "override",
    [
        {"train#loss": {"_target_": "bundle.training.losses.OneHotSimilarityLoss"}},
        {"train#loss#sigma": 3.0},
        {"optimizer#_target_": "torch.optim.SGD"},
        {"optimizer#weight_decay": 0.1},
        {"train_global#trainer#optimizer": "$lambda parameters: torch.optim.SGD(parameters, lr=0.5)"},
        {"train#preprocessing#transforms#0#rotate_range": 0.2},
        {"train#trainer#amp": True},
        {"train#stage#jitter": 1},
        {"network#encoder#name": "vit_tiny_patch16_224"},
    ],
    ids=lambda override: next(iter(override)),
)
def test_what_a_command_line_can_change(override: dict[str, Any]) -> None:
    assert configuration_fingerprint(read("train_decoders", "paper", **override)) != configuration_fingerprint(
        read("train_decoders", "paper")
    )


def test_overlays_count_but_not_the_devices() -> None:
    plain = configuration_fingerprint(read("evaluate"))
    assert configuration_fingerprint(read("evaluate", "hand")) != plain
    assert configuration_fingerprint(read("evaluate", "multi_gpu_evaluate")) == plain
    elsewhere = {"device": "cpu", "output_dir": Path("x"), "model_path": "y", "dry_run": True, "report": False}
    assert configuration_fingerprint(read("evaluate", **elsewhere)) == plain


def test_each_exception_is_a_key_of_some_workflow_or_of_tracking() -> None:
    known = {key for name in WORKFLOWS for key in json.loads((CONFIGS / f"{name}.json").read_text(encoding="utf-8"))}
    ours = json.loads((CONFIGS / "tracking_mlflow.json").read_text(encoding="utf-8"))
    known |= ours["configs"].keys() | DEFAULT_MLFLOW_SETTINGS["configs"].keys()
    assert WITHOUT_EFFECT - known == {ConfigParser.meta_key}


def test_it_is_that_of_the_configuration_that_calls() -> None:
    target = "bundle.data.journal.run_fingerprint"

    def call(**beside: Any) -> str:
        parser = ConfigParser(
            {
                "a": 1,
                "b": {"_target_": "bundle.data.journal.run_fingerprint", **beside},
                "c": {"inner": "$@b"},
                "device": "x",
            }
        )
        return parser.get_parsed_content("c")["inner"]

    assert call() == configuration_fingerprint({"a": 1, "b": {"_target_": target}, "c": {"inner": "$@b"}})
    assert call(model="$str(1)") != call(model="$str(2)")
    with pytest.raises(ConfigError, match="let a configuration file make it"):
        run_fingerprint()
