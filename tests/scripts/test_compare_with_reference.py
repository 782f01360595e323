"""Tests of the comparison with the literal method, on a tiny network and simulated radiographs."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.conftest import Sample

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import compare_with_reference as script
from benchmarking import methods

from bundle.io.template import read_template


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> methods.Preset:
    preset = methods.read_preset("xfeat")
    small = {"working_sides": (96,), "local_window": 64, "global_channels": 8, "local_channels": 8}
    preset = replace(preset, network=preset.network.model_copy(update=small))
    monkeypatch.setattr(script, "read_preset", lambda _encoder: preset)
    return preset


def arguments(sample: Sample, *landmarks: str) -> list[str]:
    given = ["--template_image", sample.image, "--template_landmarks", sample.landmarks, "--images"]
    return [str(value) for value in (*given, *sorted(sample.images.glob("*.dcm"))[:2], "--landmarks", *landmarks)]


@pytest.mark.usefixtures("tiny")
def test_points_are_identical(sample: Sample, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(arguments(sample, "0", "20", "36")) == 0
    assert "6 of 6 points identical" in capsys.readouterr().out


def test_a_difference_is_counted(tiny: methods.Preset, sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    template = script.choose(read_template(sample.image, sample.landmarks), [3, 5])
    assert template.landmarks.names == tuple(
        read_template(sample.image, sample.landmarks).landmarks.names[n] for n in (3, 5)
    )
    monkeypatch.setattr(script.full_size, "find", lambda *_arguments: [(0, 0), (1, 1)])
    assert script.compare(tiny, template, [sorted(sample.images.glob("*.dcm"))[0]], torch.device("cpu")) == 2


def test_a_landmark_that_is_not_there_gets_a_sentence(sample: Sample, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(arguments(sample, "0", "99")) == 1
    assert capsys.readouterr().err == "error: --landmarks has 99, but the template's landmarks are 0 to 36.\n"
