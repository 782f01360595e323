from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bundle.errors import BundleError, CheckpointError
from bundle.model.checkpoint import FORMAT, Checkpoint, read_checkpoint, write_checkpoint
from bundle.records.landmarks import LandmarkSet
from bundle.records.template import Template


def checkpoint(spacing: tuple[float, float] | None = (0.5, 0.25), digest: str | None = "abc") -> Checkpoint:
    pixels = np.random.default_rng(0).random((20, 30), dtype=np.float32)
    pixels[0, :2] = 0, 1
    template = Template(
        pixels,
        LandmarkSet(("Säge", "b"), np.array([[1.25, 2.5], [29.4, 19.4]])),
        spacing,
        "Bild.dcm",
        digest,
        aspect=2.0,
    )
    decoders = {"decoder.weight": torch.randn(3, 2), "count": torch.tensor(4)}
    return Checkpoint(decoders, template, {"encoder": {"name": "xfeat"}}, {"k": 3}, "digest", {"seed": 1})


@pytest.mark.parametrize("spacing", [None, (0.5, 0.25)])
@pytest.mark.parametrize("digest", [None, "abc"])
def test_what_is_written_is_read(spacing: Any, digest: Any, tmp_path: Path) -> None:
    written = checkpoint(spacing, digest)
    found = read_checkpoint(write_checkpoint(tmp_path / "deep" / "model.pt", written))
    assert set(found.decoders) == set(written.decoders)
    assert all(torch.equal(found.decoders[key], written.decoders[key]) for key in written.decoders)
    np.testing.assert_allclose(found.template.pixels, written.template.pixels, atol=0.51 / 65535)
    assert found.template.pixels.dtype == np.float32
    assert (found.template.pixels.min(), found.template.pixels.max()) == (0, 1)
    np.testing.assert_array_equal(found.template.landmarks.points, written.template.landmarks.points)
    assert found.template.landmarks.names == ("Säge", "b")
    for name in ("spacing", "name", "digest", "aspect"):
        assert getattr(found.template, name) == getattr(written.template, name)
    for name in ("network", "matching", "encoder_digest", "training"):
        assert getattr(found, name) == getattr(written, name)


def test_writing_again_changes_nothing(tmp_path: Path) -> None:
    first = read_checkpoint(write_checkpoint(tmp_path / "a.pt", checkpoint()))
    second = read_checkpoint(write_checkpoint(tmp_path / "b.pt", first))
    np.testing.assert_array_equal(first.template.pixels, second.template.pixels)


def test_monai_finds_the_decoders_under_the_key_model(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "model.pt", checkpoint())
    content = torch.load(path, weights_only=True)
    assert content["format"] == FORMAT and set(content["model"]) == {"decoder.weight", "count"}


def test_an_old_file_is_replaced_and_nothing_else_left(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_text("old")
    write_checkpoint(tmp_path / "model.pt", checkpoint())
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]
    assert read_checkpoint(tmp_path / "model.pt").training == {"seed": 1}


def test_a_path_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder" / "model.pt").mkdir(parents=True)
    for path in (tmp_path / "file" / "model.pt", tmp_path / "folder" / "model.pt", Path()):
        with pytest.raises(BundleError, match="cannot be written"):
            write_checkpoint(path, checkpoint())
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["model.pt"], "no half of a file is left"


@pytest.mark.parametrize("missing", ["model", "template", "network", "matching", "encoder_digest", "training"])
def test_a_part_that_is_missing(missing: str, tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "model.pt", checkpoint())
    content = torch.load(path, weights_only=True)
    del content[missing]
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=missing):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("part", "value"), [("network", {}), ("network", 3), ("model", 3), ("matching", None), ("template", {"names": []})]
)
def test_a_part_of_another_kind(part: str, value: Any, tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "model.pt", checkpoint())
    torch.save({**torch.load(path, weights_only=True), part: value}, path)
    with pytest.raises(CheckpointError, match=r"model\.pt"):
        read_checkpoint(path)


def test_landmarks_outside_the_template(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "model.pt", checkpoint())
    content = torch.load(path, weights_only=True)
    content["template"]["points"][0, 0] = 99
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="Säge"):
        read_checkpoint(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="run training first"):
        read_checkpoint(tmp_path / "none.pt")
    with pytest.raises(CheckpointError, match="run training first"):
        read_checkpoint(tmp_path)


def test_a_checkpoint_is_not_changed_by_what_reads_it(tmp_path: Path) -> None:
    written = checkpoint()
    write_checkpoint(tmp_path / "model.pt", dataclasses.replace(written, training={"a": [1, 2], "b": None}))
    assert read_checkpoint(tmp_path / "model.pt").training == {"a": [1, 2], "b": None}


def test_several_templates(tmp_path: Path) -> None:
    written = checkpoint()
    other = dataclasses.replace(written.template, name="other.dcm", spacing=None, digest="def")
    both = dataclasses.replace(written, template=dataclasses.replace(written.template, others=(other,)))
    found = read_checkpoint(write_checkpoint(tmp_path / "model.pt", both)).template
    assert [one.name for one in found.all] == ["Bild.dcm", "other.dcm"]
    assert (found.others[0].spacing, found.others[0].digest) == (None, "def")
    np.testing.assert_allclose(found.others[0].pixels, other.pixels, atol=0.51 / 65535)
