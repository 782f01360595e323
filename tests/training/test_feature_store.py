"""The same features from memory and from files, within both budgets."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from bundle.errors import BundleError, ConfigError
from bundle.training import FeatureStore, StageFeatures

ITEM_GB = 5e-6
"""One item below: 1 x 4 x 25 x 25 halves take 5000 bytes, and two floats take 8."""


class Warps:
    """Numbers instead of warps."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> int:
        return index


class CountingStage:
    """Encodes a number as random features and remembers which it encoded."""

    def __init__(self) -> None:
        self.encoded: list[int] = []

    def encode(self, warp: int, index: int) -> tuple[Tensor, Tensor]:
        self.encoded.append(index)
        generator = torch.Generator().manual_seed(warp)
        return torch.randn(1, 4, 25, 25, generator=generator), torch.full((1, 1, 2), float(warp))


def features(store: FeatureStore, stage: CountingStage, name: str = "local", **changed: Any) -> StageFeatures:
    """All of them computed: the first one that is asked for has the others computed, too."""
    found = StageFeatures(Warps(), stage, "features", store, name, **changed)  # type: ignore[arg-type]
    assert stage.encoded == [], "nothing is while a configuration is put together"
    assert len(found[0]) == 2
    return found


def files(store: FeatureStore) -> list[str]:
    return sorted(path.name for path in store.folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("kept", [0, 2, 5])
def test_files_give_what_memory_gives(kept: int, tmp_path: Path) -> None:
    whole = features(FeatureStore(tmp_path / "a", memory_gb=1, disk_gb=0), CountingStage())
    store = FeatureStore(tmp_path / "b", memory_gb=(kept + 0.5) * ITEM_GB, disk_gb=1)
    stage = CountingStage()
    split = features(store, stage)
    assert files(store) == [f"{index:06d}.pt" for index in range(kept, 5)]
    assert not (tmp_path / "a").exists()
    for index in (4, 0, 2, 3, 1, 4):
        assert split[index].keys() == whole[index].keys()
        for key, value in whole[index].items():
            assert split[index][key].dtype == value.dtype == torch.float32
            assert torch.equal(split[index][key], value)
    assert stage.encoded == list(range(5)), "each once"


def test_a_killed_run_finds_its_files(tmp_path: Path) -> None:
    stage = CountingStage()
    features(FeatureStore(tmp_path, memory_gb=0, disk_gb=1), stage)
    again = FeatureStore(tmp_path, memory_gb=0, disk_gb=1)
    (again.folder / "local" / "000003.pt").unlink()
    whole = (again.folder / "local" / "000004.pt").read_bytes()
    (again.folder / "local" / "000004.pt").write_bytes(whole[: len(whole) // 2])
    (again.folder / "local" / "000002.partial").write_bytes(whole[:100])
    second = CountingStage()
    found = features(again, second)
    assert second.encoded == [0, 3, 4], "the first tells the size"
    assert torch.equal(found[4]["label"], torch.full((1, 1, 2), 4.0))
    assert len(features(FeatureStore(tmp_path / "other", memory_gb=0, disk_gb=1), CountingStage())) == 5


def test_a_share_has_its_own_numbers(tmp_path: Path) -> None:
    stage = CountingStage()
    share = features(FeatureStore(tmp_path, memory_gb=1.5 * ITEM_GB, disk_gb=1), stage, indices=[1, 3])
    assert stage.encoded == [1, 3] and len(share) == 2
    assert [float(share[index]["label"][0, 0, 0]) for index in range(2)] == [1.0, 3.0]


def test_the_budget_is_that_of_all_features_of_a_run(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, memory_gb=6.5 * ITEM_GB, disk_gb=1)
    features(store, CountingStage(), "global")
    features(store, CountingStage(), "local")
    assert [path.parent.name for path in store.folder.rglob("*.pt")] == ["local"] * 4


class Usage(NamedTuple):
    total: int
    used: int
    free: int


class TestRefused:
    """Before anything but the first warp is encoded, and nothing is written."""

    @staticmethod
    def refused(store: FeatureStore, **changed: Any) -> str:
        stage = CountingStage()
        with pytest.raises(ConfigError) as caught:
            features(store, stage, **changed)
        assert stage.encoded == ([] if changed else [0]) and not store.folder.exists()
        return str(caught.value)

    def test_neither_budget_suffices(self, tmp_path: Path) -> None:
        said = self.refused(FeatureStore(tmp_path, memory_gb=2.1 * ITEM_GB, disk_gb=2 * ITEM_GB))
        assert "feature_memory_gb" in said and "feature_disk_gb" in said and "2.5e-05 GB" in said

    def test_the_disk_is_full(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**6, 10**6 - 9000, 9000))
        said = self.refused(FeatureStore(tmp_path, memory_gb=0, disk_gb=1))
        assert "9e-06 GB" in said and "--feature_dir" in said

    def test_no_warp_for_this_rank(self, tmp_path: Path) -> None:
        assert "5 warps" in self.refused(FeatureStore(tmp_path, memory_gb=1, disk_gb=1), indices=[])

    @pytest.mark.parametrize("value", [-1, "4", True, float("nan"), None])
    def test_budgets_that_are_none(self, value: Any, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="feature_memory_gb"):
            FeatureStore(tmp_path, memory_gb=value, disk_gb=1)
        with pytest.raises(ConfigError, match="feature_disk_gb"):
            FeatureStore(tmp_path, memory_gb=1, disk_gb=value)


def test_another_folder_has_a_folder_of_the_run(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "runs" / "abc", memory_gb=0, disk_gb=1, folder=tmp_path / "fast")
    features(store, CountingStage())
    assert len(list((tmp_path / "fast" / "abc" / "local").glob("*.pt"))) == 5
    store.forget()
    assert list((tmp_path / "fast").iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "features").write_text("in the way")
    with pytest.raises(BundleError, match="cannot be written"):
        FeatureStore(tmp_path, memory_gb=0, disk_gb=1).write("local", 0, (torch.zeros(1), torch.zeros(1)))
