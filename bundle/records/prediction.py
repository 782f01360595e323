"""What one inference gives for one image, as plain arrays: what every writer takes."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bundle.records.radiograph import ImageGeometry, Radiograph

#: Lengths in space that differ by less, in proportion, are the same.
_SAME_LENGTH = 1e-3

#: Columns of the prediction tensor (B, N, 7) that the inferer returns, in this order.
PREDICTION_COLUMNS = ("x", "y", "similarity", "back_match_error", "spread", "confidence", "expected_error")

#: Probability from which on a landmark is reported as missing.
MISSING = 0.5


@dataclass(frozen=True)
class Pose:
    """How an image lies beside the template.

    Attributes:
        turn: degrees by which its anatomy is turned, counter-clockwise, -180 to 180.
        mirrored: whether it shows the other side, as in a mirror.
        inverted: whether it is a negative of the template.
        scale: size of its anatomy, in shares of the image's long side, beside the template's.
        distortion: the largest over the smallest factor by which it changes lengths of the template, 1 for none.
        changed: whether the image was brought to the template's frame before the matching; else it was matched as it
            lies, which is near enough.
        kind_confidence: how sure it is that the image is of the template's kind, 0 to 1; NaN where nobody looked.
    """

    turn: float = 0.0
    mirrored: bool = False
    inverted: bool = False
    scale: float = 1.0
    distortion: float = 1.0
    changed: bool = False
    kind_confidence: float = math.nan

    @property
    def other_kind(self) -> bool:
        """Whether the image is probably of another kind."""
        return self.kind_confidence < 0.5

    @property
    def side(self) -> str:
        """``"template"``, or ``"mirrored"`` where the image shows the other side."""
        return "mirrored" if self.mirrored else "template"

    @property
    def kind(self) -> str | None:
        """``"template"``, ``"other"`` for an image that is probably of another kind, None where nobody looked."""
        if math.isnan(self.kind_confidence):
            return None
        return "other" if self.other_kind else "template"

    def words(self) -> str:
        """What there is to say of the image, for a person; empty where it lies as the template does."""
        if self.other_kind:
            return "probably another kind of image"
        if not self.changed:
            return ""
        done = {
            f"turned by {self.turn:.0f} degrees": abs(self.turn) >= 1,
            "mirrored": self.mirrored,
            "inverted": self.inverted,
            f"scaled by {self.scale:.2f}": abs(self.scale - 1) >= 0.05,
            f"stretched by {self.distortion:.2f}": self.distortion >= 1.05,
        }
        return ", ".join(words for words, said in done.items() if said)


@dataclass(frozen=True)
class MeasuredValue:
    """One measurement of one image.

    Attributes:
        name: its short name, unique within the image, such as ``"ANB"``.
        title: its name in words.
        unit: unit of value, uncertainty and normal range, by UCUM: ``"deg"``, ``"mm"``, or ``"1"`` for a ratio.
        value: the value; NaN where it cannot be had.
        uncertainty: standard deviation of the value that follows from the expected errors of its landmarks; NaN where
            these are not known.
        normal_range: the lowest and the highest normal value, None for an end that is open; None where none is defined.
        category: the class that the value falls into, None where it falls into none or none is defined.
        note: why there is no value; None where there is one.
        segments: pairs of landmarks, 0-based in the template's order, between which lines show what was measured.
        decimals: how many decimals people are shown.
    """

    name: str
    title: str
    unit: str
    value: float
    uncertainty: float = math.nan
    normal_range: tuple[float | None, float | None] | None = None
    category: str | None = None
    note: str | None = None
    segments: tuple[tuple[int, int], ...] = ()
    decimals: int = 1

    @property
    def normal(self) -> bool | None:
        """Whether the value lies in the normal range, its ends included; None where either is not known."""
        if self.normal_range is None or not math.isfinite(self.value):
            return None
        low, high = self.normal_range
        return (low is None or self.value >= low) and (high is None or self.value <= high)


@dataclass(frozen=True)
class LandmarkPrediction(ImageGeometry):
    """Landmarks found in one image, with what its file says of the pixels.

    Attributes:
        image_id: the image's name within its run, unique there; the stem of the files written for it.
        path: the image file.
        names: N landmark names, those of the template.
        points: (N, 2), float64, ``(x, y)`` = (column, row) in pixels of the full-resolution image, 0-based, pixel
            centres at integers; NaN where a landmark is reported as missing.
        similarity: (N,), cosine similarity between the template landmark and the place found, -1 to 1.
        back_match_error: (N,), distance in pixels of the template between the landmark and the place on the template
            to which the place found matches back (paper, section 2.2).
        spread: (N,), root mean square radius in pixels of the posterior around the point.
        confidence: (N,), 0 to 1.
        expected_error: (N,), calibrated expectation of the distance to the true landmark, in pixels of the image; NaN
            where the model has no calibration.
        width: columns of the image.
        height: rows of the image.
        measurements: what was measured between the landmarks; none where no definitions were given.
        missing: (N,), probability that the landmark lies outside the image; None where nobody looked.
        pose: how the image lies beside the template, and whether it is of its kind.
    """

    image_id: str
    path: Path
    names: tuple[str, ...]
    points: np.ndarray
    similarity: np.ndarray
    back_match_error: np.ndarray
    spread: np.ndarray
    confidence: np.ndarray
    expected_error: np.ndarray
    width: int
    height: int
    measurements: tuple[MeasuredValue, ...] = ()
    missing: np.ndarray | None = None
    pose: Pose = field(default_factory=Pose)

    @property
    def tabled_points(self) -> np.ndarray:
        """(N, 2), the points for tables that others learn from: all NaN where the image is of another kind."""
        return np.full_like(self.points, np.nan) if self.pose.other_kind else self.points

    @property
    def points_mm(self) -> np.ndarray | None:
        """(N, 2) positions in mm from the centre of the first pixel, ``(x, y)``; None where the spacing is unknown."""
        return None if self.spacing is None else self.points * np.asarray(self.spacing, dtype=np.float64)

    @property
    def lps(self) -> np.ndarray:
        """(N, 3) positions in LPS at which 3D Slicer shows the landmarks on the image; NaN where missing."""
        return np.column_stack([self.points, np.ones(len(self.points))]) @ self.pixel_to_lps.T

    @property
    def lps_unit(self) -> str | None:
        """The unit of :attr:`lps`, None where it is not known.

        It is ``"mm"`` where lengths there are those of the pixel spacing, as of a file that has it, and ``"pixel"``
        where one pixel is one unit, as of a PNG, whatever spacing was configured.
        """
        steps = np.linalg.norm(self.pixel_to_lps[:, :2], axis=0)
        if self.spacing is not None and np.allclose(steps, self.spacing, rtol=_SAME_LENGTH, atol=0):
            return "mm"
        return "pixel" if np.allclose(steps, 1, rtol=_SAME_LENGTH, atol=0) else None


def annotated(
    names: tuple[str, ...],
    points: np.ndarray,
    image: Radiograph,
    image_id: str,
    expected_error: np.ndarray | None = None,
) -> LandmarkPrediction:
    """Landmarks that somebody placed, as what writers and measurements take: what only matching knows is NaN.

    Args:
        names: N landmark names.
        points: (N, 2), ``(x, y)`` in pixels of the image; NaN where one is missing.
        image: the image, or its geometry.
        image_id: what it is called.
        expected_error: (N,), in pixels, where it is known.
    """
    unknown = np.full(len(points), np.nan)
    return LandmarkPrediction(
        image_id=image_id,
        path=image.path,
        names=names,
        points=points,
        similarity=unknown,
        back_match_error=unknown,
        spread=unknown,
        confidence=unknown,
        expected_error=unknown if expected_error is None else expected_error,
        width=image.width,
        height=image.height,
        spacing=image.spacing,
        spacing_source=image.spacing_source,
        pixel_to_lps=image.pixel_to_lps,
        aspect=image.aspect,
    )
