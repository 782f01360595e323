"""What one inference gives for one image, as plain arrays: what every writer takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bundle.records.measured_value import MeasuredValue
from bundle.records.pose import Pose
from bundle.records.radiograph import Radiograph, WithPixelSize

#: Lengths in space that differ by less, in proportion, are the same.
_SAME_LENGTH = 1e-3

#: Columns of the prediction tensor (B, N, 7) that the inferer returns, in this order.
PREDICTION_COLUMNS = ("x", "y", "similarity", "back_match_error", "spread", "confidence", "expected_error")


#: Probability from which on a landmark is reported as missing.
MISSING = 0.5


@dataclass(frozen=True)
class LandmarkPrediction(WithPixelSize):
    """Landmarks found in one image.

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
        spacing: millimetres per pixel as ``(x, y)``, or None where unknown.
        spacing_source: the rule that gave the spacing; None where unknown.
        pixel_to_lps: (3, 3), ``(x, y, 1)`` in pixels to LPS in mm (see :class:`bundle.records.radiograph.Radiograph`).
        aspect: height of a pixel over its width where the spacing is unknown.
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
    spacing: tuple[float, float] | None
    spacing_source: str | None
    pixel_to_lps: np.ndarray
    aspect: float = 1.0
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
