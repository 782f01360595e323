"""Frozen features are computed once, whatever happens to the process that computes them."""

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from bundle.errors import BundleError, ConfigError
from bundle.training.decoder_training import StageFeatures


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
        self.which = "local"

    def encode(self, warp: int, index: int) -> tuple[Tensor, Tensor]:
        self.encoded.append(index)
        generator = torch.Generator().manual_seed(warp)
        return torch.randn(1, 4, 25, 25, generator=generator), torch.full((1, 1, 2), float(warp))


def features(folder: Path, indices: list[int] | range = range(5)) -> StageFeatures:
    found = StageFeatures(Warps(), CountingStage(), folder, list(indices))  # type: ignore[arg-type]
    assert encoded(found) == [] and not folder.exists(), "nothing is done while a configuration is put together"
    found.compute()
    return found


def encoded(found: StageFeatures) -> Any:
    return found.stage.encoded


def test_each_is_encoded_once_and_kept_at_half_precision(tmp_path: Path) -> None:
    found = features(tmp_path / "warps")
    for index in (4, 0, 2, 3, 1, 4):
        expected, cells = CountingStage().encode(index, index)
        assert torch.equal(found[index]["image"], expected.half().float()) and torch.equal(found[index]["label"], cells)
    assert encoded(found) == list(range(5)) and len(found) == 5


def test_a_killed_run_finds_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "warps"
    first = features(folder)
    (_, gone), (_, damaged) = first.files[3], first.files[4]
    gone.unlink()
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])
    (folder / ".0123456789abcdef.tmp").write_bytes(whole[:100])
    again = StageFeatures(Warps(), CountingStage(), folder, range(5))  # type: ignore[arg-type]
    again.compute()
    assert encoded(again) == [3]
    assert torch.equal(again[4]["label"], torch.full((1, 1, 2), 4.0)), "a damaged file is made again"
    assert encoded(again) == [3, 4] and torch.equal(again[4]["image"], first[4]["image"])


def test_a_share_has_its_own_numbers(tmp_path: Path) -> None:
    share = features(tmp_path / "warps", [1, 3])
    assert encoded(share) == [1, 3] and len(share) == 2
    assert [float(share[index]["label"][0, 0, 0]) for index in range(2)] == [1.0, 3.0]


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**6, 10**6 - 9000, 9000))
    found = StageFeatures(Warps(), CountingStage(), tmp_path / "warps", range(5))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"9e-06 GB left: give --output_dir"):
        found.compute()
    assert encoded(found) == [0], "before the second is encoded"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "warps").write_text("in the way")
    with pytest.raises(BundleError, match="cannot be written"):
        StageFeatures(Warps(), CountingStage(), tmp_path / "warps", [0])[0]  # type: ignore[arg-type]
