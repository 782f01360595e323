"""What was learned is kept whole in a checkpoint, and nothing else is taken for it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from bundle.errors import CheckpointError
from bundle.model.checkpoint import LEARNED_FORMAT, LearnedLandmarks, read_checkpoint, write_checkpoint
from tests.model.test_checkpoint import checkpoint


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
def test_what_is_written_is_read(crops: bool, tmp_path: Path) -> None:
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
