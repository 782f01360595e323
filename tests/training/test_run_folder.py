from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from bundle.records.landmarks import LandmarkSet
from bundle.records.template import Template
from bundle.training import FeatureStore, forget_run, run_folder

SETTINGS: dict[str, Any] = {"seed": 0, "network": {"working_sides": [1, 2]}}
EXAMPLE = {"image": torch.zeros(1, 4, 4), "landmarks": torch.ones(2, 2)}


def template(value: float = 0.0, x: float = 1.0, names: tuple[str, ...] = ("a", "b")) -> Template:
    points = np.array([[x, 2.0], [3.0, 4.0]])
    return Template(np.full((8, 8), value, np.float32), LandmarkSet(names, points), None, "template")


def test_the_same_training_has_the_same_folder() -> None:
    again = {"network": {"working_sides": [1, 2]}, "seed": 0}
    folder = run_folder("root", template(), SETTINGS, EXAMPLE)
    assert folder == run_folder(Path("root"), template(), again, dict(reversed(EXAMPLE.items())))
    assert Path(folder).parent == Path("root")


def test_any_other_has_another() -> None:
    warped = {**EXAMPLE, "image": torch.ones(1, 4, 4)}
    folders = [
        run_folder("root", template(), SETTINGS, EXAMPLE),
        run_folder("root", template(value=1.0), SETTINGS, EXAMPLE),
        run_folder("root", template(x=1.5), SETTINGS, EXAMPLE),
        run_folder("root", template(names=("a", "c")), SETTINGS, EXAMPLE),
        run_folder("root", template(), {**SETTINGS, "seed": 1}, EXAMPLE),
        run_folder("root", template(), {**SETTINGS, "network": {"working_sides": [1, 3]}}, EXAMPLE),
        run_folder("root", template(), SETTINGS, warped),
    ]
    assert len(set(folders)) == 7


def test_only_the_state_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / "local").mkdir()
    for name in ("local/state.pt", "local/best.pt", "local/state.partial", "events.out", "local/events.out"):
        (tmp_path / name).write_text("x")
    store = FeatureStore(tmp_path, memory_gb=0, disk_gb=1)
    store.write("local", 3, (torch.zeros(1), torch.zeros(1)))
    assert store.folder.is_dir()
    forget_run(tmp_path, store)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["events.out", "events.out"]
    assert not store.folder.exists()
    forget_run(tmp_path / "none", FeatureStore(tmp_path / "none", memory_gb=0, disk_gb=1))
