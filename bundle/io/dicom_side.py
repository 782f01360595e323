"""Which side of the patient a DICOM image shows, and which way round."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from bundle.io.dicom_geometry import element


def laterality(dataset: Dataset) -> str | None:
    """The side of the body part.

    ``ImageLaterality`` (0020,0062), or else ``Laterality`` (0020,0060), or else ``FrameLaterality`` (0020,9072) is
    not looked at: it belongs to objects of several frames.

    Args:
        dataset: the DICOM header.

    Returns:
        ``"L"``, ``"R"``, ``"B"`` (both) or ``"U"`` (unpaired); None where the header does not say.
    """
    for keyword in ("ImageLaterality", "Laterality"):
        value = str(element(dataset, keyword) or "").strip().upper()
        if value in ("L", "R", "B", "U"):
            return value
    return None


def rows_towards(dataset: Dataset) -> str | None:
    """The direction of the patient in which the columns of the image are counted.

    The first value of ``PatientOrientation`` (0020,0020), such as ``"A"`` where a row runs towards the anterior, or
    ``"AR"`` where it runs mainly towards the anterior and a little to the right.

    Args:
        dataset: the DICOM header.

    Returns:
        Letters out of A, P, R, L, H and F, or None where the header does not say.
    """
    value = element(dataset, "PatientOrientation")
    first = value[0] if isinstance(value, MultiValue | list | tuple) and len(value) == 2 else None
    letters = str(first or "").strip().upper()
    return letters if letters and set(letters) <= set("APRLHF") else None
