"""The bundle from Python: an annotated image or a model in, the landmarks of other images out; no file is needed.

It is put together from the classes that the configurations put together, so both find the same points.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch

from bundle.data.cases import Cases, ResultFolder, collect_cases, with_truth
from bundle.data.millimetres import PointsInMillimetresd, read_reference_length
from bundle.data.readable import LoadRadiographd
from bundle.errors import LandmarkError
from bundle.handlers import Evaluation, as_prediction
from bundle.io.folders import image_ids
from bundle.io.template import ImageSource, LandmarkSource, read_template
from bundle.measurements import MeasurementPlan
from bundle.metrics.error_summary import CEPHALOMETRIC_RADII
from bundle.model import Model, PosteriorInferer, save_model, trained_model, zero_shot_model
from bundle.networks import NetworkSettings
from bundle.records.prediction import LandmarkPrediction
from bundle.records.validation import validate
from bundle.training import FilterTraining, TemplateExamples
from bundle.writers.files import atomic_file, output_path
from bundle.writers.image_files import COCO, ENDINGS, image_files, writer_names
from bundle.writers.result_json import as_written
from bundle.writers.run_files import write_coco


@dataclass(frozen=True, kw_only=True)
class FoundLandmarks(LandmarkPrediction):
    """Landmarks found in one image: names, ``points`` in pixels, ``points_mm``, ``expected_error``, ``confidence``.

    Attributes:
        load: gives the image's pixels, (H, W), 0 to 1, for the files that show them.
    """

    load: Callable[[], np.ndarray]

    def save(self, folder: str | Path, writers: Sequence[str] = ("json", "markups", "overlay")) -> list[Path]:
        """Write files of this image; see :func:`save_all`."""
        return save_all([self], folder, writers)


def save_all(
    found: Sequence[FoundLandmarks], folder: str | Path, writers: Sequence[str] = ("json", "markups", "overlay")
) -> list[Path]:
    """Write the files of several images, as ``run inference`` does.

    Args:
        found: what :meth:`LandmarkFinder.find` gave.
        folder: the folder of the files; made where missing.
        writers: any of ``json``, ``markups``, ``overlay`` and ``sr`` for each image, and ``coco``, one file for all.

    Returns:
        the files.

    Raises:
        ConfigError: when a writer is unknown, or an image would be written over.
        NothingToWrite: when ``sr`` is asked for an image that is no DICOM file.
    """
    names = writer_names(writers)
    results = ResultFolder(folder, writers=names)
    results.refuse_inputs([one.image_id for one in found], [one.path for one in found])
    for name, make in image_files(names).items():
        for one in found:
            content = make(one, one.load() if name == "overlay" else np.zeros((0, 0)))
            with atomic_file(output_path(folder, one.image_id, ENDINGS[name]), binary=True) as file:
                file.write(content)
    paths = [file for one in found for file in results.files_of(one.image_id)]
    if COCO in names and found:
        paths.append(write_coco(results.path, found[0].names, [(as_written(one), one.path.name) for one in found]))
    return paths


class LandmarkFinder:
    """Finds the landmarks of annotated images in others.

    Example:
        >>> finder = LandmarkFinder.from_template("template.png", "template.csv")
        >>> found = finder.find("query.png")
        >>> found.points_mm

    Args:
        model: network, template and matching.
        preprocessing: from an item with ``image``, a path or an array, to one with the image as a tensor; None reads
            it as the model wants it.
        inferer: from images (B, 1, H, W) and the network to (B, N, 7); None for the model's own.
        postprocessing: from an item with ``pred`` to one with points in millimetres; None for the usual.
        measurements: what is measured between the landmarks; None for nothing.

    Attributes:
        names: N landmark names, in the order of all points.
        record: how the model was trained; empty before :meth:`fit`.
    """

    def __init__(
        self,
        model: Model,
        *,
        preprocessing: Callable[..., Any] | None = None,
        inferer: Callable[..., Any] | None = None,
        postprocessing: Callable[..., Any] | None = None,
        measurements: MeasurementPlan | None = None,
    ) -> None:
        model.template.require()
        self.model = model
        grey_values = model.network.settings.grey_values
        self.preprocessing: Callable[..., Any] = preprocessing or LoadRadiographd("image", grey_values=grey_values)
        self.inferer: Callable[..., Any] = inferer or model.inferer()
        self.postprocessing: Callable[..., Any] = postprocessing or PointsInMillimetresd(["label", "pred"])
        self.measurements = measurements
        self.record: dict[str, Any] = {}

    @classmethod
    def from_template(
        cls,
        image: ImageSource | Sequence[ImageSource],
        landmarks: LandmarkSource | list[Any] | tuple[Any, ...],
        *,
        spacing: float | Sequence[float] | None = None,
        names: Sequence[str] | None = None,
        reference_length: Mapping[str, Any] | None = None,
        network: Mapping[str, Any] | None = None,
        matching: Mapping[str, Any] | None = None,
        encoder_weights: str = "hub",
        device: torch.device | str | None = None,
        precision: str = "float32",
    ) -> LandmarkFinder:
        """A finder that matches to one annotated image or a few, without training (zero-shot).

        Args:
            image: a file, or grey values of shape (H, W) in which bone is bright, or a list of them.
            landmarks: a file, points by name, or points (N, 2), ``(x, y)`` = (column, row) in pixels, 0-based, pixel
                centres at integers; for several images one table, or a list.
            spacing: millimetres per pixel of the template, one number or ``(x, y)``, where the file is not to decide.
            names: other names for the landmarks.
            reference_length: ``{"landmarks": [first, second], "millimetres": length}``, known in every image.
            network: settings that differ from the defaults of :class:`bundle.networks.NetworkSettings`.
            matching: settings that differ from the defaults of :class:`bundle.matching.settings.MatchingSettings`.
            encoder_weights: ``"hub"``, ``"package"``, ``"random"``, or a file or folder.
            device: where the network runs; None takes a GPU where there is one.
            precision: ``"float32"`` or ``"bfloat16"``.

        Raises:
            BundleError: when an image, landmarks or a setting cannot be used, in one sentence.
        """
        grey_values = validate(NetworkSettings, network or {}, "network").grey_values
        template = read_template(image, landmarks, spacing=spacing, names=names, grey_values=grey_values)
        model = zero_shot_model(
            template,
            network=network,
            matching=matching,
            encoder_weights=encoder_weights,
            device=_device(device),
            precision=precision,
        )
        return cls(model, postprocessing=_in_millimetres(reference_length, model))

    @classmethod
    def from_model(
        cls,
        path: str | Path,
        *,
        reference_length: Mapping[str, Any] | None = None,
        matching: Mapping[str, Any] | None = None,
        encoder_weights: str = "hub",
        device: torch.device | str | None = None,
        precision: str = "float32",
    ) -> LandmarkFinder:
        """A finder with the model of a file that ``run training`` or :meth:`save_model` wrote.

        Args:
            path: the file.
            reference_length: as the others, see :meth:`from_template`.
            matching: settings that shall replace the model's own.
            encoder_weights: see :meth:`from_template`.
            device: see :meth:`from_template`.
            precision: see :meth:`from_template`.

        Raises:
            CheckpointError: when the file cannot be used.
        """
        model = trained_model(
            path, matching=matching, encoder_weights=encoder_weights, device=_device(device), precision=precision
        )
        return cls(model, postprocessing=_in_millimetres(reference_length, model))

    @property
    def names(self) -> tuple[str, ...]:
        """N landmark names, in the order of all points."""
        return self.model.template.landmarks.names

    @overload
    def find(self, images: ImageSource, *, spacing: Any = ..., flip: Any = ...) -> FoundLandmarks: ...

    @overload
    def find(
        self, images: list[Any] | tuple[Any, ...], *, spacing: Any = ..., flip: Any = ...
    ) -> list[FoundLandmarks]: ...

    def find(
        self,
        images: ImageSource | list[Any] | tuple[Any, ...],
        *,
        spacing: float | Sequence[float] | None = None,
        flip: Any = None,
    ) -> FoundLandmarks | list[FoundLandmarks]:
        """Find the landmarks of one image, or of each of a list.

        Args:
            images: a file, or grey values of shape (H, W) in which bone is bright, or a list of them.
            spacing: millimetres per pixel, one number or ``(x, y)``, where the files are not to decide.
            flip: which images show the other side than the template, see
                :func:`bundle.data.readable.check_flip`.

        Returns:
            points (N, 2), ``(x, y)`` = (column, row) in pixels of the image, 0-based, pixel centres at integers, with
            names, millimetres where the spacing is known, confidence and expected error in pixels; for a list, a list.

        Raises:
            ImageError: when an image cannot be used; of a list, the first such one.
        """
        listed = images if isinstance(images, (list, tuple)) else [images]
        found = [
            self.find_item({"image": image, "image_id": name, "pixel_spacing": spacing, "flip": flip})[0]
            for image, name in zip(listed, _ids(listed))
        ]
        return found if listed is images else found[0]

    def find_item(self, item: Mapping[str, Any]) -> tuple[FoundLandmarks, dict[str, Any]]:
        """Find the landmarks of one item of a data list.

        Args:
            item: ``image``, a path or an array, ``image_id``, and what the preprocessing takes beside them.

        Returns:
            the landmarks, and the item with image, ``pred`` and ``spacing`` as an engine would have it.
        """
        given = {**item, "image": item["image"] if isinstance(item["image"], str | Path) else np.asarray(item["image"])}
        seen = self.preprocessing(given)
        network = self.model.network
        with torch.no_grad():
            image = seen["image"][None].to(next(network.parameters()).device)
            done = self.postprocessing({**seen, "pred": self.inferer(image, network)[0].cpu()})
        prediction = as_prediction(done, self.names)
        if self.measurements is not None:
            prediction = replace(prediction, measurements=self.measurements.measure(prediction))
        return FoundLandmarks(**vars(prediction), load=lambda: self.preprocessing(given)["image"].numpy()[0]), done

    def fit(self, unlabelled: str | Path | None = None) -> LandmarkFinder:
        """Learn from the annotated images: the default training, ``run training``.

        Args:
            unlabelled: a folder of further images that a single template shall adapt to; None for none.

        Returns:
            this finder, which from now on finds with what was learned.

        Raises:
            ConfigError: when the model is one of the paper's, or was saved without its images.
        """
        network, template = self.model.network, self.model.template
        inferer = PosteriorInferer(template, self.model.matching)
        record = {"seed": 0, "adapt": unlabelled is not None, "precision": network.precision}
        with tempfile.TemporaryDirectory() as folder:
            examples = TemplateExamples(inferer, network)
            training = FilterTraining(examples, folder, record, adapt=unlabelled is not None, unlabelled=unlabelled)
            training.run()
        self.model, self.record = training.model, training.record
        self.inferer = self.model.inferer()
        return self

    def save_model(self, path: str | Path, keep_images: bool = True) -> None:
        """Write the model, for :meth:`from_model`, ``run inference`` and all that takes a model.

        Args:
            path: the file.
            keep_images: whether it shall hold the annotated images, which a model that was not fitted needs.

        Raises:
            BundleError: when the file cannot be written.
        """
        model, record = self.model, self.record or {"trained": self.model.trained}
        save_model(path, model.network, model.template, model.matching, record, model.learned, keep_images)


def evaluate(
    finder: LandmarkFinder,
    images: str | Path | Sequence[ImageSource],
    truth: str | Path | Sequence[Any],
    *,
    radii: Sequence[float] = CEPHALOMETRIC_RADII,
    spacing: float | Sequence[float] | None = None,
) -> Evaluation:
    """Compare what is found with true landmarks, as ``run evaluation`` does.

    Args:
        finder: finds the landmarks.
        images: a folder, a data list, or a list of files or arrays of shape (H, W).
        truth: the table of true landmarks, in which files are found by name and the template's own image is left out;
            or a list with points (N, 2) for each image, ``(x, y)`` in pixels, NaN where one is missing.
        radii: radii of the successful detection rate (SDR), in mm.
        spacing: millimetres per pixel, one number or ``(x, y)``, where the files are not to decide.

    Raises:
        BundleError: when an image or the truth cannot be used.
    """
    cases = _with_truth(finder, images, truth)
    found = [as_written(finder.find_item({"pixel_spacing": spacing, **item})[0]) for item in cases.items]
    return Evaluation.of(found, cases, finder.names, radii)


def _with_truth(
    finder: LandmarkFinder, images: str | Path | Sequence[ImageSource], truth: str | Path | Sequence[Any]
) -> Cases:
    """The images that have a truth, items with ``image``, ``image_id`` and ``label``."""
    if isinstance(images, (str, Path)):
        cases = collect_cases(images)
    else:
        cases = Cases([{"image": image, "image_id": name} for image, name in zip(images, _ids(images))])
    if isinstance(truth, (str, Path)):
        found = with_truth(cases, truth, finder.model.template)
        found.require()
        return found
    if len(truth) != len(cases.items):
        raise LandmarkError(
            f"there are {len(cases.items)} images and {len(truth)} sets of true landmarks: give one each."
        )
    for points in truth:
        if np.shape(points) != (len(finder.names), 2):
            raise LandmarkError(
                f"true landmarks have the shape {np.shape(points)}, expected ({len(finder.names)}, 2): one point "
                "(x, y) for each landmark of the template, NaN where it is missing."
            )
    return replace(cases, items=[{**item, "label": points} for item, points in zip(cases.items, truth)])


def _ids(images: Sequence[Any]) -> list[str]:
    """A name for each image: a file's own, else its number."""
    paths = [
        Path(image) if isinstance(image, str | Path) else Path(f"image_{n}") for n, image in enumerate(images, start=1)
    ]
    return image_ids(paths, Path())


def _device(device: torch.device | str | None) -> torch.device | str:
    return device or ("cuda" if torch.cuda.is_available() else "cpu")


def _in_millimetres(reference_length: Mapping[str, Any] | None, model: Model) -> PointsInMillimetresd:
    return PointsInMillimetresd(["label", "pred"], read_reference_length(reference_length, model.template))
