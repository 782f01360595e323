"""What the end-to-end tests share: a tiny sample set and one tiny training on it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.workflows.running import ROOT, tiny_training, train


@dataclass(frozen=True)
class Sample:
    """A sample set of simulated radiographs.

    Attributes:
        folder: the folder.
        image: the template image.
        landmarks: its landmarks.
        images: the folder of the other images.
        truth: the table of their landmarks.
    """

    folder: Path
    image: Path
    landmarks: Path
    images: Path
    truth: Path

    @property
    def template(self) -> dict[str, Path]:
        """Settings of a run without training."""
        return {"template_image": self.image, "template_landmarks": self.landmarks}


@dataclass(frozen=True)
class Trained:
    """A tiny training.

    Attributes:
        model: the checkpoint.
        output: the folder of the training.
        settings: the settings that it was run with.
    """

    model: Path
    output: Path
    settings: dict[str, Any]


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    folder = tmp_path_factory.mktemp("sample")
    script = [sys.executable, "scripts/make_phantoms.py", "--output_dir", str(folder), "--count", "3"]
    subprocess.run([*script, "--height", "320"], cwd=ROOT, check=True, capture_output=True, timeout=120)
    template = folder / "template"
    return Sample(
        folder, template / "phantom_000.dcm", template / "landmarks.csv", folder / "images", folder / "landmarks.csv"
    )


@pytest.fixture(scope="session")
def trained(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    settings = tiny_training(dataset_dir=sample.folder)
    train(**settings, model_path=folder / "model.pt", output_dir=folder / "training")
    return Trained(folder / "model.pt", folder / "training", settings)
