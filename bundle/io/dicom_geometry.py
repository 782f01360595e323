"""What a DICOM header says of size, place and side of an image."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from bundle.io.decoded import positive_pair, stated_spacing
from bundle.records.radiograph import identity_pixel_to_lps

_SAME_SPACING = 1e-4  # relative; decimal strings of one spacing may be rounded differently
_MAX_MAGNIFICATION = 10.0

#: Where ITK looks for the step itself: printed film, ultrasound, endoscopic video.
_ITK_BY_PIXEL_SPACING = (
    "1.2.840.10008.5.1.1.29",
    *(f"1.2.840.10008.5.1.4.1.1.{kind}" for kind in ("3", "3.1", "6", "6.1", "77.1.1.1")),
)


def element(dataset: Dataset, keyword: str) -> Any:
    """The value of a DICOM element, or None where it is absent, empty or not of its type."""
    try:
        value = dataset.get(keyword)
    except Exception:  # pydicom converts at access and raises many types for a malformed value
        return None
    return None if value is None or value == "" else value


def finite_numbers(dataset: Dataset, keyword: str) -> np.ndarray:
    """The numbers of an element in one array; none where it is absent or one of them is malformed."""
    value = element(dataset, keyword)
    try:
        numbers = np.atleast_1d(np.array([] if value is None else value, dtype=np.float64))
    except (TypeError, ValueError, OverflowError):
        return np.empty(0)
    return numbers if numbers.ndim == 1 and np.isfinite(numbers).all() else np.empty(0)


def first_item(dataset: Dataset, keyword: str) -> Dataset | None:
    """The first item of a sequence, or None where there is none."""
    items = element(dataset, keyword)
    return items[0] if isinstance(items, Sequence) and items else None


def functional_groups(dataset: Dataset) -> dict[str, Dataset]:
    """The functional groups of an image of one frame by their keywords (DICOM PS3.3 C.7.6.16).

    A group of the frame goes before the same group of all frames.
    """
    groups = {}
    for keyword in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        frame = first_item(dataset, keyword) or Dataset()
        groups.update({name: group for name in frame.dir() if (group := first_item(frame, name))})
    return groups


def pixel_spacing(
    dataset: Dataset, groups: Mapping[str, Dataset]
) -> tuple[tuple[float, float], str] | tuple[None, None]:
    """The pixel spacing that a DICOM header states, by the first of these rules that holds.

    1. ``PixelSpacing`` (0028,0030) with ``PixelSpacingCalibrationType`` (0028,0A02) ``GEOMETRY`` or ``FIDUCIAL``: the
       spacing in the patient, corrected by the device or measured on an object of known size.
    2. ``PixelSpacing`` without a calibration type, unless it repeats ``ImagerPixelSpacing`` (0018,1164): then it is the
       spacing at the detector (DICOM PS3.3 10.7.1.3), and the next rules hold.
    3. ``ImagerPixelSpacing`` divided by ``EstimatedRadiographicMagnificationFactor`` (0018,1114), where that is from 1
       to 10: a projection cannot be smaller than what it shows.
    4. ``ImagerPixelSpacing``.
    5. ``ImagePlanePixelSpacing`` (3002,0011), of RT images, divided likewise by ``RTImageSID`` (3002,0026) over
       ``RadiationMachineSAD`` (3002,0022): the spacing at the isocentre.
    6. ``ImagePlanePixelSpacing``.
    7. ``NominalScannedPixelSpacing`` (0018,2010), of digitised film.

    All of them hold the row spacing (y) before the column spacing (x). A spacing that is absent, zero, negative,
    malformed, not finite, or 1 x 1 without a calibration (see :func:`bundle.io.decoded.stated_spacing`) is unknown and
    the next rule is tried.

    Args:
        dataset: the DICOM header, with the elements of its functional groups.
        groups: the functional groups, for the name of the rule.

    Returns:
        ``(x, y)`` in mm and the name of the rule, or ``(None, None)``.
    """

    def named(keyword: str, more: str = "") -> str:
        return keyword + "".join(f" ({name})" for name, group in groups.items() if keyword in group) + more

    calibration = str(element(dataset, "PixelSpacingCalibrationType")).strip().upper()
    if calibration in ("GEOMETRY", "FIDUCIAL") and (calibrated := _spacing_pair(dataset, "PixelSpacing")):
        return calibrated, named("PixelSpacing", f" ({calibration})")
    stated, detector = (stated_spacing(_spacing_pair(dataset, f"{kind}PixelSpacing")) for kind in ("", "Imager"))
    if stated and not (detector and np.allclose(stated, detector, rtol=_SAME_SPACING, atol=0)):
        return stated, named("PixelSpacing")
    for keyword, far, near in (
        ("ImagerPixelSpacing", "EstimatedRadiographicMagnificationFactor", None),
        ("ImagePlanePixelSpacing", "RTImageSID", "RadiationMachineSAD"),
        ("NominalScannedPixelSpacing", None, None),
    ):
        if pair := stated_spacing(_spacing_pair(dataset, keyword)):
            lengths = positive_pair([far and element(dataset, far), element(dataset, near) if near else 1.0])
            magnification = lengths[0] / lengths[1] if lengths else 0.0
            if not 1.0 <= magnification <= _MAX_MAGNIFICATION:
                return pair, named(keyword)
            shrunk = f" x {near} / {far}" if near else f" / {far}"
            return (pair[0] / magnification, pair[1] / magnification), named(keyword, shrunk)
    return None, None


def pixel_aspect(dataset: Dataset) -> float:
    """Height of a pixel over its width by ``PixelAspectRatio`` (0028,0034), 1 where the header does not say."""
    pair = positive_pair(element(dataset, "PixelAspectRatio"))
    return pair[0] / pair[1] if pair else 1.0


def slicer_pixel_to_lps(path: Path) -> np.ndarray:
    """Where 3D Slicer shows the pixels of a DICOM image: it reads through ITK, and ITK through GDCM, as asked here.

    Their rule for the step is by SOP class and differs from :func:`pixel_spacing`. Without orientation and position,
    as usual for radiographs, x is left, y is posterior, the origin 0.

    Returns:
        Array of shape (3, 3): ``(x, y, 1)`` in pixels to LPS in mm.
    """
    reader, known = gdcm.Reader(), gdcm.ImageHelper
    reader.SetFileName(str(path))
    if not reader.ReadUpToTag(gdcm.Tag(0x7FE0, 0x0010)):
        return identity_pixel_to_lps()
    known.SetSecondaryCaptureImagePlaneModule(True)  # as ITK does
    step = known.GetSpacingValue(reader.GetFile())[:2]
    dataset = pydicom.dcmread(path, force=True, specific_tags=["SOPClassUID", "PixelSpacing"], stop_before_pixels=True)
    if element(dataset, "SOPClassUID") in _ITK_BY_PIXEL_SPACING:
        step = _spacing_pair(dataset, "PixelSpacing") or (1.0, 1.0)
    axes = np.reshape(known.GetDirectionCosinesValue(reader.GetFile()), (2, 3))
    return np.column_stack([axes[0] * step[0], axes[1] * step[1], known.GetOriginValue(reader.GetFile())])


def laterality(dataset: Dataset) -> str | None:
    """The side of the body part.

    ``ImageLaterality`` (0020,0062), or else ``FrameLaterality`` (0020,9072) of a functional group, or else
    ``Laterality`` (0020,0060).

    Args:
        dataset: the DICOM header, with the elements of its functional groups.

    Returns:
        ``"L"``, ``"R"``, ``"B"`` (both) or ``"U"`` (unpaired); None where the header does not say.
    """
    for keyword in ("ImageLaterality", "FrameLaterality", "Laterality"):
        value = str(element(dataset, keyword) or "").strip().upper()
        if value in ("L", "R", "B", "U"):
            return value
    return None


def rows_towards(dataset: Dataset) -> str | None:
    """The direction of the patient in which the columns of the image are counted.

    The first value of ``PatientOrientation`` (0020,0020), such as ``"A"`` where a row runs towards the anterior, or
    ``"AR"`` where it runs mainly towards the anterior and a little to the right.

    Args:
        dataset: the DICOM header, with the elements of its functional groups.

    Returns:
        Letters out of A, P, R, L, H and F, or None where the header does not say.
    """
    value = element(dataset, "PatientOrientation")
    first = value[0] if isinstance(value, MultiValue | list | tuple) and len(value) == 2 else None
    letters = str(first or "").strip().upper()
    return letters if letters and set(letters) <= set("APRLHF") else None


def _spacing_pair(dataset: Dataset, keyword: str) -> tuple[float, float] | None:
    """A spacing as ``(x, y)``; the elements hold y before x."""
    pair = positive_pair(element(dataset, keyword))
    return (pair[1], pair[0]) if pair else None
