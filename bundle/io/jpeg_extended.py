"""12-bit JPEG (process 4), which pydicom decodes with a package under the GPL alone, through GDCM."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import JPEGExtended12Bit

from bundle.io.dicom_geometry import element

try:
    import gdcm
except ImportError:  # then pydicom decodes with what there is
    gdcm = None


def decodes_extended_jpeg(dataset: Dataset) -> bool:
    """Whether :func:`decode_extended_jpeg` is the way to the pixels of a data set.

    Args:
        dataset: the data set with its file meta information.

    Returns:
        True for one grey channel of more than 8 bits in the transfer syntax JPEG Extended, where GDCM is installed.
    """
    syntax = element(dataset.file_meta, "TransferSyntaxUID")
    bits = element(dataset, "BitsAllocated")
    return bool(gdcm and syntax == JPEGExtended12Bit and bits == 16 and element(dataset, "SamplesPerPixel") == 1)


def decode_extended_jpeg(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """The stored values of a DICOM file with one grey frame in the transfer syntax JPEG Extended.

    Args:
        path: the file.
        shape: rows and columns that the header states.

    Returns:
        Array of shape (H, W), uint16 or int16.

    Raises:
        ValueError: when GDCM cannot read it, or finds another image than the header states.
    """
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    if not reader.Read():
        raise ValueError("GDCM cannot read the file")
    image = reader.GetImage()
    buffer = image.GetBuffer()  # bytes that SWIG hands over as text
    if buffer is None:
        raise ValueError("GDCM cannot decode the pixels")
    signed = bool(image.GetPixelFormat().GetPixelRepresentation())
    values = np.frombuffer(buffer.encode("utf-8", "surrogateescape"), dtype=np.int16 if signed else np.uint16)
    return values.reshape(shape)
