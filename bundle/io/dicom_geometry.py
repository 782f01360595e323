"""Pixel spacing and position of a DICOM image, from its header alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from bundle.io.spacing import positive_pair
from bundle.records.radiograph import identity_pixel_to_lps

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
# Projection radiography, for which GDCM, and so ITK and 3D Slicer, look at ImagerPixelSpacing alone.
_PROJECTION = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.1",  # computed radiography
        "1.2.840.10008.5.1.4.1.1.1.1",  # digital X-ray, for presentation and for processing
        "1.2.840.10008.5.1.4.1.1.1.1.1",
        "1.2.840.10008.5.1.4.1.1.1.2",  # mammography
        "1.2.840.10008.5.1.4.1.1.1.2.1",
        "1.2.840.10008.5.1.4.1.1.1.3",  # intra-oral
        "1.2.840.10008.5.1.4.1.1.1.3.1",
        "1.2.840.10008.5.1.4.1.1.12.1",  # X-ray angiography
        "1.2.840.10008.5.1.4.1.1.12.2",  # X-ray radiofluoroscopy
    }
)
_SAME_SPACING = 1e-4  # relative; decimal strings of one spacing may be rounded differently
_MAX_MAGNIFICATION = 10.0


def element(dataset: Dataset, keyword: str) -> Any:
    """The value of a DICOM element, or None where it is absent, empty or not of its type."""
    try:
        value = dataset.get(keyword)
    except Exception:  # pydicom converts at access and raises many types for a malformed value
        return None
    return None if value is None or value == "" else value


def pixel_spacing(dataset: Dataset) -> tuple[tuple[float, float], str] | tuple[None, None]:
    """The pixel spacing that a DICOM header states, by the first of these rules that holds.

    1. ``PixelSpacing`` (0028,0030) with ``PixelSpacingCalibrationType`` (0028,0A02) ``GEOMETRY`` or ``FIDUCIAL``: the
       spacing in the patient, corrected by the device or measured on an object of known size.
    2. ``PixelSpacing`` without a calibration type, unless it repeats ``ImagerPixelSpacing`` (0018,1164): then it is the
       spacing at the detector (DICOM PS3.3 10.7.1.3), and the next rules hold.
    3. ``ImagerPixelSpacing`` divided by ``EstimatedRadiographicMagnificationFactor`` (0018,1114), where that is from 1
       to 10: a projection cannot be smaller than what it shows.
    4. ``ImagerPixelSpacing``.
    5. ``NominalScannedPixelSpacing`` (0018,2010), of digitised film.

    All of them hold the row spacing (y) before the column spacing (x). A spacing that is absent, zero, negative,
    malformed or not finite is unknown and the next rule is tried.

    Args:
        dataset: the DICOM header.

    Returns:
        ``(x, y)`` in mm and the name of the rule, or ``(None, None)``.
    """
    stated = _spacing_pair(dataset, "PixelSpacing")
    detector = _spacing_pair(dataset, "ImagerPixelSpacing")
    calibration = str(element(dataset, "PixelSpacingCalibrationType")).strip().upper()
    if stated and calibration in ("GEOMETRY", "FIDUCIAL"):
        return stated, f"PixelSpacing ({calibration})"
    if stated and not (detector and np.allclose(stated, detector, rtol=_SAME_SPACING, atol=0)):
        return stated, "PixelSpacing"
    if detector:
        magnification = _magnification(dataset)
        if magnification is None:
            return detector, "ImagerPixelSpacing"
        at_patient = (detector[0] / magnification, detector[1] / magnification)
        return at_patient, "ImagerPixelSpacing / EstimatedRadiographicMagnificationFactor"
    scanned = _spacing_pair(dataset, "NominalScannedPixelSpacing")
    if scanned:
        return scanned, "NominalScannedPixelSpacing"
    return None, None


def slicer_pixel_to_lps(dataset: Dataset) -> np.ndarray:
    """Where 3D Slicer shows the pixels of a DICOM image.

    Slicer reads through ITK and GDCM, whose rule for the spacing is by SOP class (0008,0016) and differs from
    :func:`pixel_spacing`: ``ImagerPixelSpacing`` (0018,1164) for projection radiography, ``PixelSpacing``
    (0028,0030) or else ``NominalScannedPixelSpacing`` (0018,2010) for secondary capture, ``PixelSpacing`` for others,
    and 1 mm where that element is missing. ``ImageOrientationPatient`` (0020,0037) and ``ImagePositionPatient``
    (0020,0032) hold where present; without them, as usual for radiographs, x is left, y is posterior, the origin 0.

    Args:
        dataset: the DICOM header.

    Returns:
        Array of shape (3, 3): ``(x, y, 1)`` in pixels to LPS in mm.
    """
    sop_class = str(element(dataset, "SOPClassUID"))
    keyword = "ImagerPixelSpacing" if sop_class in _PROJECTION else "PixelSpacing"
    if sop_class == _SECONDARY_CAPTURE and element(dataset, "PixelSpacing") is None:
        keyword = "NominalScannedPixelSpacing"
    spacing_x, spacing_y = _spacing_pair(dataset, keyword) or (1.0, 1.0)
    matrix = identity_pixel_to_lps()
    orientation = _finite_numbers(dataset, "ImageOrientationPatient", 6)
    if orientation is not None and _is_orthonormal(orientation.reshape(2, 3)):
        matrix[:, 0], matrix[:, 1] = orientation[:3], orientation[3:]
    position = _finite_numbers(dataset, "ImagePositionPatient", 3)
    if position is not None:
        matrix[:, 2] = position
    return matrix * [spacing_x, spacing_y, 1.0]


def _spacing_pair(dataset: Dataset, keyword: str) -> tuple[float, float] | None:
    value = element(dataset, keyword)
    pair = positive_pair(value) if value is not None else None
    return (pair[1], pair[0]) if pair else None


def _magnification(dataset: Dataset) -> float | None:
    factor = element(dataset, "EstimatedRadiographicMagnificationFactor")
    pair = positive_pair([factor, factor])
    return pair[0] if pair and 1.0 <= pair[0] <= _MAX_MAGNIFICATION else None


def _finite_numbers(dataset: Dataset, keyword: str, count: int) -> np.ndarray | None:
    value = element(dataset, keyword)
    try:
        numbers = np.array([float(number) for number in value], dtype=np.float64)
    except (TypeError, ValueError):
        return None
    return numbers if numbers.shape == (count,) and np.isfinite(numbers).all() else None


def _is_orthonormal(axes: np.ndarray) -> bool:
    return bool(np.allclose(axes @ axes.T, np.eye(2), atol=1e-2))
