from pathlib import Path
from typing import Any

import numpy as np
import pytest
from monai.bundle import ConfigParser

from bundle.errors import ConfigError
from bundle.model import build_network
from bundle.networks import NetworkSettings
from bundle.records.landmarks import LandmarkSet
from bundle.records.radiograph import Template
from bundle.training import fix_seed, forget_run
from tests.workflows.running import TINY_NETWORK


def template(value: float = 0.0, x: float = 1.0, names: tuple[str, ...] = ("a", "b"), **changed: Any) -> Template:
    points = np.array([[x, 2.0], [3.0, 4.0]])
    found = {"spacing": None, "name": "template", **changed}
    return Template(np.full((8, 8), value, np.float32), LandmarkSet(names, points), **found)


def folder(root: Any, template: Template, seed: int = 0, **network: Any) -> str:
    """What a configuration makes, with template and network under keys that do not count themselves."""
    built = build_network(NetworkSettings(**{**TINY_NETWORK, **network}), encoder_weights="random")
    parts = {"root": "@output_dir", "template": "@template_image", "network": "@encoder_weights"}
    parser = ConfigParser({"seed": seed, "run_dir": {"_target_": "bundle.training.run_folder", **parts}})
    for key, value in {"output_dir": root, "template_image": template, "encoder_weights": built}.items():
        parser[key] = value
    return parser.get_parsed_content("run_dir")


def test_the_same_training_has_the_same_folder() -> None:
    first = folder("root", template())
    assert first == folder(Path("root"), template(name="other", digest="x"))
    assert Path(first).parent == Path("root") and len(Path(first).name) == 12


def test_any_other_has_another() -> None:
    folders = [
        folder("root", template()),
        folder("root", template(), seed=1),
        folder("root", template(value=1.0)),
        folder("root", template(x=1.5)),
        folder("root", template(names=("a", "c"))),
        folder("root", template(spacing=(0.1, 0.1))),
        folder("root", template(aspect=1.5)),
        folder("root", template(others=(template(value=1.0),))),
        folder("root", template(), working_sides=[96, 320]),
        folder("root", template(), encoder={"name": "vit_tiny_patch16_224"}),
    ]
    assert len(set(folders)) == len(folders)


def test_only_the_state_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / "local").mkdir()
    for name in (
        "local/state.pt",
        "local/warp_000001.pt",
        "local/.0123456789abcdef.tmp",
        "events.out",
        "local/events.out",
    ):
        (tmp_path / name).write_text("x")
    forget_run(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["events.out", "events.out"]
    forget_run(tmp_path / "none")


@pytest.mark.parametrize("seed", [-1, 2**32, True, 1.5, "1", None])
def test_seeds_that_are_none(seed: Any) -> None:
    with pytest.raises(ConfigError, match="from 0 to 4294967295"):
        fix_seed(seed)
