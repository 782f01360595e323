"""A study of four simulated hands, one in each format, and a server on it that all tests of a module share."""

import csv
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from bundle.io.radiographs import read_radiograph
from bundle.records.landmarks import LandmarkSet
from tests.label_server.client import ROOT, Client, Server, running_server

#: `make test` runs without MONAI Label, `make test-monailabel` with it.
if importlib.util.find_spec("monailabel") is None:
    collect_ignore_glob = ["test_*.py"]

#: Every fourth landmark of the simulated hand, which makes all quicker.
STEP = 4


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "endurance: hundreds of inferences; run with -m endurance")


@dataclass(frozen=True)
class Study:
    """A study folder with its truth.

    Attributes:
        folder: the folder.
        truth: by image id the true landmarks, ``(x, y)`` in pixels.
    """

    folder: Path
    truth: dict[str, LandmarkSet]

    def image(self, image_id: str) -> Path:
        return next(path for path in self.folder.iterdir() if path.name.startswith(f"{image_id}."))

    def markups(self, image_id: str, shift: tuple[float, float] = (0.0, 0.0)) -> dict[str, Any]:
        """The true landmarks as 3D Slicer would save them, moved by ``shift`` pixels ``(x, y)``."""
        points = self.truth[image_id]
        to_lps = read_radiograph(self.image(image_id)).pixel_to_lps
        places = np.column_stack([points.points + shift, np.ones(len(points))]) @ to_lps.T
        controls = [
            {"label": name, "position": [float(v) for v in place], "positionStatus": "defined"}
            for name, place in zip(points.names, places)
        ]
        return {"markups": [{"type": "Fiducial", "coordinateSystem": "LPS", "controlPoints": controls}]}


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms")
    line = [sys.executable, "scripts/make_phantoms.py", "--output_dir", str(folder), "--count", "4", "--height", "320"]
    subprocess.run(line, cwd=ROOT, check=True, capture_output=True, timeout=1500)
    return folder


@pytest.fixture(scope="module")
def study(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Hand_0 is DICOM, the template; hand_1 PNG, hand_2 JPEG, hand_3 NIfTI, hand_4 DICOM."""
    folder = tmp_path_factory.mktemp("study")
    files = [phantoms / "template/phantom_000.dcm", *sorted((phantoms / "images").iterdir())]
    for index, file in enumerate(files):
        save_as(file, folder / f"hand_{index}", {1: ".png", 2: ".jpg", 3: ".nii.gz"}.get(index, ".dcm"))
    return Study(folder, read_truth(phantoms))


def save_as(file: Path, stem: Path, suffix: str) -> None:
    """The same image in another format."""
    grey = np.rint(read_radiograph(file).pixels * 255).astype(np.uint8)
    if suffix == ".dcm":
        stem.with_suffix(suffix).write_bytes(file.read_bytes())
    elif suffix == ".nii.gz":
        nibabel.save(nibabel.Nifti1Image(grey.T[:, :, None], np.diag([-0.2, -0.2, 1.0, 1.0])), f"{stem}{suffix}")
    else:
        Image.fromarray(grey).save(f"{stem}{suffix}", **({"quality": 95} if suffix == ".jpg" else {}))


def read_truth(phantoms: Path) -> dict[str, LandmarkSet]:
    with (phantoms / "template/landmarks.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = tuple(row["name"] for row in rows)[::STEP]
    truth = {"hand_0": np.array([[float(row["x"]), float(row["y"])] for row in rows])}
    with (phantoms / "landmarks.csv").open(encoding="utf-8", newline="") as file:
        for index, row in enumerate(csv.reader(file)):
            if index:
                truth[f"hand_{index}"] = np.array(row[1:], dtype=float).reshape(-1, 2)
    return {name: LandmarkSet(names, points[::STEP]) for name, points in truth.items()}


@pytest.fixture(scope="module")
def server(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    with running_server(study.folder, elsewhere / "server.log", cwd=elsewhere) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Client:
    return server.client
