"""What a report is made of: the run, and its images, which are shown, in which order, and how the page draws them."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from bundle.metrics.error_summary import LandmarkErrors, mean
from bundle.records.prediction import LandmarkPrediction
from bundle.records.radiograph import Template
from bundle.writers.overlay import confidence_colours, grey_picture, said

#: How many images a group of the report has at most.
GROUP = 4


@dataclass(frozen=True)
class ReportRun:
    """A run over M images with N landmarks.

    Attributes:
        kind: ``"evaluation"`` or ``"inference"``.
        cases: what was found in the images.
        template: the annotated image.
        seconds: (M,), the time to find the landmarks of each image; empty where nobody knows.
        truths: (M, N, 2), the true points in pixels, NaN where there is none; None for an inference.
        measured: their errors; None for an inference.
        metrics: what ``metrics.json`` holds; None for an inference.
        settings: what the run was started with, by name; values of JSON.
        versions: version of each program, by name.
        created: when the report was made, as text.
        failures: files that could not be used, each with the reason.
        remarks: titles with the names of images that they are about, such as those without a truth.
    """

    kind: str
    cases: Sequence[LandmarkPrediction]
    template: Template
    seconds: Sequence[float] = ()
    truths: np.ndarray | None = None
    measured: LandmarkErrors | None = None
    metrics: Mapping[str, Any] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    failures: Sequence[tuple[str, str]] = ()
    remarks: Sequence[tuple[str, Sequence[str]]] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """N landmark names, in the template's order."""
        return self.template.landmarks.names

    @property
    def has_truth(self) -> bool:
        """Whether errors are known."""
        return self.kind == "evaluation"

    @property
    def unit(self) -> str:
        """``"mm"`` where any error, or in an inference any pixel spacing, is known in millimetres, else ``"px"``."""
        if self.measured is not None:
            return "mm" if np.isfinite(self.measured.mm).any() else "px"
        return "mm" if any(case.spacing for case in self.cases) else "px"

    @property
    def errors(self) -> np.ndarray:
        """(M, N) errors in :attr:`unit`; NaN where unknown, infinite where a landmark was not found."""
        if self.measured is None:
            return np.full((len(self.cases), len(self.names)), np.nan)
        return self.measured.mm if self.unit == "mm" else self.measured.px

    @property
    def other_kinds(self) -> list[int]:
        """Numbers of the images that are probably of another kind; only errors against a truth count these."""
        return [index for index, case in enumerate(self.cases) if case.pose.other_kind]

    @property
    def confidences(self) -> np.ndarray:
        """(M, N) confidences; NaN where the image is of another kind."""
        confidences = self._stack([case.confidence for case in self.cases])
        confidences[self.other_kinds] = np.nan
        return confidences

    @property
    def expected_errors(self) -> np.ndarray:
        """(M, N) calibrated expectations of the error in :attr:`unit`; NaN where unknown."""
        scale = [case.mm_per_pixel if self.unit == "mm" else 1.0 for case in self.cases]
        return self._stack([case.expected_error * factor for case, factor in zip(self.cases, scale)])

    def _stack(self, rows: Sequence[np.ndarray]) -> np.ndarray:
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(self.names))


def small_picture(pixels: np.ndarray, max_side: int = 960) -> Image.Image:
    """A radiograph as a small grey picture, smaller by the same factor on both axes, up to the rounding of its sides.

    Args:
        pixels: (H, W), 0 to 1; what is not finite counts as 0.
        max_side: longest side of the picture in pixels; a smaller image stays as it is.
    """
    picture = grey_picture(pixels)
    picture.thumbnail((max_side, max_side))
    return picture


def small_jpeg(pixels: np.ndarray) -> bytes:
    """The content of a JPEG file with the :func:`small_picture` of a radiograph."""
    with io.BytesIO() as file:
        small_picture(pixels).save(file, format="JPEG", quality=78, optimize=True)
        return file.getvalue()


def case_scores(run: ReportRun) -> np.ndarray:
    """(M,) how bad each image is: its mean error, or for an inference one minus its mean confidence.

    A landmark that was not found makes its image infinitely bad; NaN where there is nothing to judge by.
    """
    return _means(run.errors) if run.has_truth else 1 - _means(run.confidences)


def choose_cases(scores: np.ndarray, others: Sequence[int] = ()) -> dict[str, list[int]]:
    """Images of another kind, and of the rest the worst, the middle and the best; none is in two groups.

    Args:
        scores: (M,) how bad each image is; NaN is chosen for none.
        others: numbers of the images of another kind.

    Returns:
        Numbers of images by ``"other"``, ``"worst"``, ``"median"`` and ``"best"``, the worst of each first; groups are
        smaller where there are few images, and those that would be empty are left out.
    """
    order = [int(i) for i in np.argsort(-scores, kind="stable") if not np.isnan(scores[i]) and i not in others]
    count = len(order)
    size = min(GROUP, -(-count // 3))
    worst, best = order[:size], order[max(size, count - size) :]
    rest = order[len(worst) : count - len(best)]
    start = max(0, (len(rest) - size) // 2)
    groups = {"other": list(others)[:GROUP], "worst": worst, "median": rest[start : start + size], "best": best}
    return {name: members for name, members in groups.items() if members}


def case_order(run: ReportRun, scores: np.ndarray) -> list[int]:
    """The numbers of all images: those of another kind first, then the worst."""
    same_kind = [not case.pose.other_kind for case in run.cases]
    return [int(index) for index in np.lexsort([-np.nan_to_num(scores), np.isnan(scores), same_kind])]


def case_columns(run: ReportRun) -> dict[str, list[str] | list[float]]:
    """The table of all images: M texts or numbers by title; a number is NaN where unknown, infinite where not found.

    The filter of the page compares its number with the third column.
    """
    confidence, errors, expected = run.confidences, run.errors, run.expected_errors
    columns: dict[str, list[str] | list[float]] = {"Image": [case.image_id for case in run.cases]}
    if run.has_truth:
        largest, worst = _largest(errors, run.names)
        columns[f"Mean error, {run.unit}"] = _means(errors).tolist()
        columns |= {f"Largest, {run.unit}": largest.tolist(), "Worst landmark": worst}
    lowest, least = _largest(-confidence, run.names)
    columns |= {"Mean confidence": _means(confidence).tolist(), "Lowest": (-lowest).tolist()}
    if not run.has_truth:
        columns["Least sure landmark"] = least
    if np.isfinite(expected).any():
        columns[f"Expected error, {run.unit}"] = _means(expected).tolist()
    if run.seconds:
        columns["Seconds"] = list(run.seconds)
    poses = [case.pose.words() for case in run.cases]
    return {**columns, "Pose": poses} if any(poses) else columns


def _means(values: np.ndarray) -> np.ndarray:
    return np.array([mean(row) for row in values])


def _largest(values: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """The largest value of each image, NaN where it has none, and the landmark that it is of."""
    known = np.nan_to_num(values, nan=-np.inf, posinf=np.inf)
    places, none = known.argmax(axis=1), np.isnan(values).all(axis=1)
    largest = np.where(none, np.nan, known.max(axis=1, initial=-np.inf))
    return largest, ["" if unknown else names[place] for place, unknown in zip(places, none)]


def viewer_data(
    case: LandmarkPrediction, truth: np.ndarray | None, errors: np.ndarray, expected: np.ndarray
) -> dict[str, Any]:
    """What the page's viewer needs of an image, as JSON values.

    Args:
        case: the image.
        truth: (N, 2), its true points; None where there are none.
        errors: (N,) errors in the unit of the report.
        expected: (N,) expected errors in the same unit.

    Returns:
        ``id``, ``pose`` (what there is to say of it), ``size`` (width and height in pixels of its finer axis, by which
        it has its true proportions) and lists of one entry a landmark: ``p`` and ``t`` (place found and true place, in
        these pixels, counted from the edge of the image), ``c`` confidence, ``k`` its colour, ``e`` error, ``x``
        expected error; null where unknown, and -1 for the error of a landmark that was not found.
        ``m`` has for each measurement its name, its value in words, its class or what else is said of it, and whether
        it lies outside its normal range.
    """
    return {
        "id": case.image_id,
        "pose": case.pose.words(),
        "size": (_stretch(case) * (case.width, case.height)).round(2).tolist(),
        "p": _places(case, case.points),
        "t": None if truth is None else _places(case, truth),
        "c": _rounded(case.confidence),
        "k": _colours(case),
        "e": _rounded(np.where(np.isinf(errors), -1, errors)),
        "x": _rounded(expected),
        "m": [[value.name, *said(value), value.normal is False] for value in case.measurements],
    }


def _stretch(case: LandmarkPrediction) -> np.ndarray:
    return np.array(case.pixel_size) / min(case.pixel_size)


def _places(case: LandmarkPrediction, points: np.ndarray) -> list[list[float] | None]:
    """Points, (N, 2), from the edge of the image on; a pixel's centre lies half a pixel from its edge."""
    moved = ((points + 0.5) * _stretch(case)).round(2)
    known = np.asarray(np.isfinite(moved).all(axis=1))
    return [place if there else None for place, there in zip(moved.tolist(), known)]


def _rounded(values: np.ndarray) -> list[float | None]:
    return [value if known else None for value, known in zip(values.round(3).tolist(), np.isfinite(values).tolist())]


def _colours(case: LandmarkPrediction) -> list[str]:
    return ["#{:02x}{:02x}{:02x}".format(*colour) for colour in confidence_colours(case.confidence)]
