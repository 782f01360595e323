"""What the end-to-end tests share: a tiny sample set, the same with few landmarks, and one tiny training on that."""

import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.workflows.running import ROOT, tiny_training, train

#: Commands in processes of their own find this checkout, whichever one is installed.
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


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


def as_nobody(action: Callable[[], None], folder: Path) -> None:
    """Run an action without the rights of root, to whom every file is open; root does it in a process of its own.

    Args:
        action: what is done; a failed assertion in it fails the test.
        folder: the folder of the test, which the other user must be able to reach.
    """
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        action()
        return
    for above in (folder, *folder.parents):
        if above.name.startswith(("pytest-", "popen-")) or above == folder:  # popen-: a worker of pytest-xdist
            above.chmod(above.stat().st_mode | 0o055)

    def act() -> None:
        os.setgid(65534)
        os.setuid(65534)
        action()

    process = multiprocessing.get_context("fork").Process(target=act)
    process.start()
    process.join(60)
    assert process.exitcode == 0, "the assertion stands above, on standard error"


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """The images are so small that threads would wait for each other most of the time."""
    torch.set_num_threads(1)


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
def small(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """Eight of the landmarks, which makes everything quicker."""
    folder = tmp_path_factory.mktemp("small")
    shutil.copytree(sample.folder, folder, dirs_exist_ok=True)
    few = Sample(
        folder,
        *(folder / path.relative_to(sample.folder) for path in (sample.image, sample.landmarks)),
        *(folder / path.relative_to(sample.folder) for path in (sample.images, sample.truth)),
    )
    header, *lines = few.landmarks.read_text(encoding="utf-8").splitlines()
    few.landmarks.write_text("\n".join([header, *lines[::5]]) + "\n", encoding="utf-8")
    image, *columns = zip(*(line.split(",") for line in few.truth.read_text(encoding="utf-8").splitlines()))
    kept = [column for index, column in enumerate(columns) if index // 2 % 5 == 0]
    few.truth.write_text("\n".join(",".join(row) for row in zip(image, *kept)) + "\n", encoding="utf-8")
    return few


@pytest.fixture(scope="session")
def trained(small: Sample, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    settings = tiny_training(**small.template)
    train(**settings, model_path=folder / "model.pt", output_dir=folder / "training")
    return Trained(folder / "model.pt", folder / "training", settings)
