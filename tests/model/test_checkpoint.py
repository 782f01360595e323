"""What a checkpoint holds comes back, and what is none is refused."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bundle.errors import CheckpointError
from bundle.model.checkpoint import (
    FORMAT,
    LEARNED_FORMAT,
    Checkpoint,
    LearnedLandmarks,
    read_checkpoint,
    write_checkpoint,
)
from bundle.records.landmarks import LandmarkSet
from bundle.records.radiograph import Template


def learned(crops: bool = True) -> LearnedLandmarks:
    """Of three templates with two landmarks, at two scales."""
    generator = torch.Generator().manual_seed(0)
    kernels = tuple(torch.randn(2, 4, 3, 3, generator=generator) for _ in range(2))
    layouts = torch.rand(3, 2, 2, generator=generator, dtype=torch.float64)
    if not crops:
        return LearnedLandmarks(layouts, kernels, kernels)
    return LearnedLandmarks(layouts, kernels, (*kernels, kernels[0]), torch.eye(4), kernels[1])


def write(path: Path, one: LearnedLandmarks) -> Path:
    return write_checkpoint(path, dataclasses.replace(checkpoint(), learned=one))


@pytest.mark.parametrize("crops", [True, False])
def test_what_was_learned_is_read(crops: bool, tmp_path: Path) -> None:
    path = write(tmp_path / "model.pt", learned(crops))
    assert torch.load(path, weights_only=True)["format"] == LEARNED_FORMAT, "an older version does not take it"
    found = read_checkpoint(path).learned
    assert found is not None
    before, after = learned(crops).tensors(), found.tensors()
    assert list(before) == list(after) and all(torch.equal(before[name], after[name]) for name in before)


def test_without_pixels(tmp_path: Path) -> None:
    bare = dataclasses.replace(checkpoint(), template=checkpoint().template.without_pixels(), learned=learned())
    found = read_checkpoint(write_checkpoint(tmp_path / "model.pt", bare)).template
    assert found.pixels is None and found.size == checkpoint().template.size
    assert found.landmarks.names == checkpoint().template.landmarks.names
    with pytest.raises(CheckpointError, match="no pixels"):
        read_checkpoint(write_checkpoint(tmp_path / "plain.pt", dataclasses.replace(bare, learned=None)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("layouts", torch.zeros(3, 2, 2)),
        ("layouts", torch.zeros(2, 2, dtype=torch.float64)),
        ("layouts", torch.zeros(3, 5, 2, dtype=torch.float64)),
        ("kernels.0", torch.zeros(2, 4, 3, 5)),
        ("filters.1", torch.zeros(2, 4, 5, 5)),
        ("filters.2", torch.full((2, 4, 3, 3), torch.nan)),
        ("crop_matrix", torch.eye(3)),
        ("crop_kernels", None),
        ("layouts", None),
        ("kernels.0", "text"),
    ],
)
def test_parts_that_do_not_belong_together(name: str, value: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "model.pt", learned())
    content = torch.load(path, weights_only=True)
    if value is None:
        del content["learned"][name]
    else:
        content["learned"][name] = value
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"model\.pt"):
        read_checkpoint(path)


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


def test_monai_finds_the_decoders_under_the_key_model(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "model.pt", checkpoint())
    content = torch.load(path, weights_only=True)
    assert content["format"] == FORMAT and set(content["model"]) == {"decoder.weight", "count"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        *(
            (lambda content, part=part: content.pop(part), part)
            for part in ("model", "template", "network", "matching", "encoder_digest", "training")
        ),
        (lambda content: content.update(network={}), r"model\.pt"),
        (lambda content: content.update(network=3), r"model\.pt"),
        (lambda content: content.update(model=3), r"model\.pt"),
        (lambda content: content.update(matching=None), r"model\.pt"),
        (lambda content: content.update(template={"names": []}), r"model\.pt"),
        (lambda content: content["template"]["points"][0].fill_(99), "Säge"),
        *(
            (lambda content, part=part, value=value: content["template"].update({part: value}), words)
            for part, value, words in (
                ("pixels", torch.zeros(20, 30), "type float32"),
                ("pixels", torch.zeros(20, 30, 1, dtype=torch.int16), r"shape \(20, 30, 1\)"),
                ("points", torch.zeros(3, 2, dtype=torch.float64), "2 landmark names for 3 points"),
                ("points", torch.full((2, 2), 1e300, dtype=torch.float64), "1e"),
                ("names", [7, "b"], "no text"),
                ("names", ["=1+1", "b"], "formula"),
                ("names", ["../../x", "b"], "leads out of a folder"),
                ("names", "a", "no text"),
                ("name", 3, "names of its template"),
                ("digest", 3, "names of its template"),
                ("spacing", "ab", "lacks a part"),
                ("spacing", [math.nan, -1.0], r"spacing \(nan, -1\.0\)"),
                ("spacing", [0.1, math.inf], r"spacing \(0\.1, inf\)"),
                ("spacing", [0.0, 0.1], r"spacing \(0\.0, 0\.1\)"),
                ("aspect", math.nan, "aspect nan"),
                ("aspect", -2.0, "aspect -2"),
            )
        ),
    ],
)
def test_a_part_that_is_missing_or_cannot_be(
    change: Callable[[dict[str, Any]], Any], words: str, tmp_path: Path
) -> None:
    path = write_checkpoint(tmp_path / "model.pt", checkpoint())
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=words) as caught:
        read_checkpoint(path)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="run training first"):
        read_checkpoint(tmp_path / "none.pt")
    with pytest.raises(CheckpointError, match="run training first"):
        read_checkpoint(tmp_path)


def test_several_templates(tmp_path: Path) -> None:
    written = checkpoint()
    other = dataclasses.replace(written.template, name="other.dcm", spacing=None, digest="def")
    both = dataclasses.replace(written, template=dataclasses.replace(written.template, others=(other,)))
    found = read_checkpoint(write_checkpoint(tmp_path / "model.pt", both)).template
    assert [one.name for one in found.all] == ["Bild.dcm", "other.dcm"]
    assert (found.others[0].spacing, found.others[0].digest) == (None, "def")
    np.testing.assert_allclose(found.others[0].pixels, other.pixels, atol=0.51 / 65535)
