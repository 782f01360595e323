import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from bundle.encoders import weight_files
from bundle.encoders.weight_files import load_weights_only
from bundle.errors import CheckpointError
from bundle.model.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from bundle.records.landmarks import LandmarkSet
from bundle.records.template import Template


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    whole = torch.arange(6.0)
    torch.save({"a": whole[:4], "b": [whole[::2], {"c": torch.zeros(0)}], "d": "text"}, tmp_path / "a.pt")
    torch.save(whole, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert torch.equal(load_weights_only(tmp_path / "a.pt")["a"], whole[:4])
    assert torch.equal(load_weights_only(tmp_path / "old.pt"), whole)


def test_a_tensor_that_is_a_huge_view_of_one_number(tmp_path: Path) -> None:
    torch.save({"a": [torch.zeros(1).expand(10**12)]}, tmp_path / "a.pt")
    assert (tmp_path / "a.pt").stat().st_size < 5000
    with pytest.raises(CheckpointError, match=r"a tensor of shape \(1000000000000,\) without as many numbers"):
        load_weights_only(tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"a\.pt is not opened, it holds a tensor"):
        read_checkpoint(tmp_path / "a.pt")


def test_an_archive_that_unpacks_to_far_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(torch.zeros(10**6), tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as good, zipfile.ZipFile(tmp_path / "b.pt", "w") as bad:
        for name in good.namelist():
            bad.writestr(name, good.read(name), zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(weight_files, "_UNPACKED_BYTES", 10**6)
    assert load_weights_only(tmp_path / "a.pt").shape == (10**6,)
    with pytest.raises(CheckpointError, match=r"unpacks to 400\d+ bytes, far more than"):
        load_weights_only(tmp_path / "b.pt")


def test_deep_nesting(tmp_path: Path) -> None:
    nested: Any = torch.zeros(1)
    for _ in range(300):
        nested = [nested]
    torch.save(nested, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"a\.pt is no checkpoint|a\.pt is not of the format"):
        read_checkpoint(tmp_path / "a.pt")


@pytest.mark.parametrize(
    ("part", "value", "said"),
    [
        ("pixels", torch.zeros(40, 50), "type torch.float32"),
        ("pixels", torch.zeros(40, 50, 1, dtype=torch.int16), r"shape \(40, 50, 1\)"),
        ("points", torch.zeros(2, 2, dtype=torch.float64), r"points of shape \(2, 2\) for 1 names"),
        ("points", torch.full((1, 2), 1e300, dtype=torch.float64), "1e"),
        ("names", [7], "no text"),
        ("names", ["=1+1"], "formula"),
        ("names", ["../../x"], "leads out of a folder"),
        ("name", 3, "name of its template"),
        ("spacing", "ab", "lacks a part"),
    ],
)
def test_parts_of_a_checkpoint_that_cannot_be(part: str, value: Any, said: str, tmp_path: Path) -> None:
    template = Template(torch.rand(40, 50).numpy(), LandmarkSet(("a",), [[1.0, 2.0]]), None, "a.png")
    path = write_checkpoint(tmp_path / "a.pt", Checkpoint({}, template, {"encoder": {"name": "xfeat"}}, {}, "", {}))
    read_checkpoint(path)
    content = torch.load(path, weights_only=True)
    content["template"][part] = value
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=said) as caught:
        read_checkpoint(path)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
