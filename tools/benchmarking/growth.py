"""How time and memory grow with landmarks and pixels, of the default, on images of noise: the cost depends on sizes."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
import torch
from matplotlib import pyplot
from torch.nn import functional as F

from bundle import LandmarkFinder
from tools.benchmarking.apart import apart, with_seconds

#: What is measured; the one number stays when the other grows.
LANDMARKS, MEGAPIXELS = (1, 10, 19, 100, 300, 1000), (0.5, 2, 4.6, 10, 25, 50)


class Row(NamedTuple):
    """One size.

    Attributes:
        landmarks: how many.
        megapixels: of the image.
        training_seconds: processor seconds of the training.
        seconds: processor seconds per image.
        training_gb: peak of the resident memory of the training.
        memory_gb: the same of finding.
    """

    landmarks: int
    megapixels: float
    training_seconds: float
    seconds: float
    training_gb: float
    memory_gb: float


def make_scene(megapixels: float, landmarks: int) -> tuple[np.ndarray, np.ndarray]:
    """Smooth noise, (H, W), 0 to 1, and landmarks (N, 2), pixels ``(x, y)``, away from its border."""
    generator = torch.Generator().manual_seed(0)
    height = round((megapixels * 1e6 * 2400 / 1935) ** 0.5)
    size = height, round(height * 1935 / 2400)
    coarse = torch.rand(1, 1, 40, 32, generator=generator)
    image = F.interpolate(coarse, size=size, mode="bicubic")[0, 0].clamp(0, 1)
    image = 0.9 * image + 0.1 * torch.rand(size, generator=generator)
    shares = 0.1 + 0.8 * torch.rand(landmarks, 2, generator=generator, dtype=torch.float64)
    return image.numpy(), (shares * torch.tensor([size[1], size[0]])).floor().numpy()


def measure(landmarks: int, megapixels: float) -> Row:
    """Train, and find, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.pt"
        training, training_gb = apart(_train, landmarks, megapixels, model)
        seconds, memory = apart(_find, landmarks, megapixels, model)
    return Row(landmarks, megapixels, training, seconds, training_gb, memory)


def _train(landmarks: int, megapixels: float, model: Path) -> float:
    finder = LandmarkFinder.from_template(*make_scene(megapixels, landmarks))
    _, seconds = with_seconds(finder.fit)
    finder.save_model(model)
    return seconds


def _find(landmarks: int, megapixels: float, model: Path) -> float:
    """Of the second image, for the first one brings the template with it."""
    image, _ = make_scene(megapixels, landmarks)
    finder = LandmarkFinder.from_model(model)
    finder.find(image)
    return with_seconds(finder.find, image)[1]


def draw(rows: Sequence[Row], picture: Path) -> None:
    """Time and memory over landmarks and over pixels."""
    matplotlib.rcParams["svg.hashsalt"] = "growth"  # the same file every time
    figure, axes = pyplot.subplots(2, 2, figsize=(8, 5.5), layout="constrained", sharey="row")
    for column, (size, fixed) in enumerate((("landmarks", "megapixels"), ("megapixels", "landmarks"))):
        constant = {"landmarks": 19, "megapixels": 4.6}[fixed]
        chosen = sorted(row for row in rows if getattr(row, fixed) == constant)
        sizes = [getattr(row, size) for row in chosen]
        axes[0, column].plot(sizes, [row.seconds for row in chosen], "o-", label="per image")
        axes[0, column].plot(sizes, [row.training_seconds for row in chosen], "s--", label="training")
        axes[1, column].plot(sizes, [row.memory_gb for row in chosen], "o-")
        axes[1, column].plot(sizes, [row.training_gb for row in chosen], "s--")
        axes[1, column].set(xlabel=f"{size} ({constant} {fixed})", ylim=0)
        for one in axes[:, column]:
            one.set_xscale("log")
    axes[0, 0].set(ylabel="processor seconds", yscale="log")
    axes[1, 0].set_ylabel("peak of resident memory, GB")
    axes[0, 0].legend(frameon=False)
    figure.savefig(picture, metadata={"Date": None})
    pyplot.close(figure)
