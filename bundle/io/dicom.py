"""DICOM files: from bytes to stored values, and all that their header says of them."""

from io import BytesIO
from pathlib import Path

import gdcm
import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGExtended12Bit,
)

from bundle.errors import ImageError
from bundle.io.decoded import DecodedImage, check_size
from bundle.io.dicom_geometry import (
    element,
    functional_groups,
    laterality,
    pixel_aspect,
    pixel_spacing,
    rows_towards,
)
from bundle.io.dicom_grey import hidden_pixels, modality_values, padding, white_is_zero, windowed

_PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_UNSUPPORTED = ("missing dependenc", "not support", "handler", "no available", "no plugins", "unsupported")


def read_dicom(path: Path, max_pixels: int, voi_lut: bool = False) -> DecodedImage:
    """Read a DICOM file that holds one grey image.

    The modality transformation is applied (see :mod:`bundle.io.dicom_grey`). The VOI transformation is not, unless
    ``voi_lut`` asks for it: it is one reader's display choice, it differs between exports of the same exposure and can
    clip bone away, while the percentiles in :mod:`bundle.io.intensity` are the same function of the measured values
    for every file. Overlays (60xx) are left out, also those in unused bits of the pixels. Padding and the display
    shutter (:mod:`bundle.io.dicom_grey`) mark pixels to ignore. What the header's functional groups say holds for
    the one frame, and goes before the same elements of the header itself.

    Args:
        path: the file, with or without the 128-byte preamble.
        max_pixels: the largest number of pixels that is decoded.
        voi_lut: whether to apply the first VOI transformation of the file, ``VOILUTSequence`` (0028,3010) or else
            ``WindowCenter`` and ``WindowWidth`` (0028,1050 and 0028,1051) by ``VOILUTFunction`` (0028,1056).

    Returns:
        The grey values and the geometry.

    Raises:
        ImageError: when there is no image, more than one frame, colour, or the pixel data is damaged, cut short or in
            a transfer syntax that no installed package decodes.
    """
    dataset = _read_dataset(path)
    groups = functional_groups(dataset)
    for group in groups.values():
        dataset.update(group)
    _check_header(dataset, path, max_pixels)
    stored = _stored_values(dataset, path)
    values = modality_values(stored, dataset, path)
    if voi_lut and stored.ndim == 2:
        values = windowed(values, dataset, path)
    spacing, source = pixel_spacing(dataset, groups)
    aspect = spacing[1] / spacing[0] if spacing else pixel_aspect(dataset)
    masks = (padding(stored, dataset), hidden_pixels(dataset, values.shape, aspect))
    ignored = [mask for mask in masks if mask is not None]
    return DecodedImage(
        values=values,
        ignored=np.logical_or.reduce(ignored) if ignored else None,
        white_is_zero=white_is_zero(dataset),
        spacing=spacing,
        spacing_source=source,
        aspect=aspect,
        laterality=laterality(dataset),
        rows_towards=rows_towards(dataset),
    )


def _read_dataset(path: Path) -> Dataset:
    # Out of memory rather than out of the file: of a file, as many bytes are made room for as an element claims.
    content = BytesIO(path.read_bytes())
    dataset = pydicom.dcmread(content, force=True)
    if element(dataset.file_meta, "TransferSyntaxUID") is None:  # a file without preamble: as its header was read
        implicit, little = getattr(dataset, "original_encoding", None) or (  # pydicom 3
            dataset.is_implicit_VR,
            dataset.is_little_endian,
        )
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    return dataset


def _check_header(dataset: Dataset, path: Path, max_pixels: int) -> None:
    rows, columns = element(dataset, "Rows"), element(dataset, "Columns")
    if not isinstance(rows, int) or not isinstance(columns, int):
        uid = element(dataset, "SOPClassUID") or element(dataset.file_meta, "MediaStorageSOPClassUID")
        raise ImageError(f"{path} is a DICOM file without an image ({_name(uid)}), or cut short: give a radiograph.")
    frames, samples = (int(element(dataset, key) or 1) for key in ("NumberOfFrames", "SamplesPerPixel"))
    no_pixels = not any(keyword in dataset for keyword in _PIXEL_KEYWORDS)
    for wrong, sentence in (
        (
            frames > 1,
            f"has {frames} frames (NumberOfFrames), but one 2D radiograph is needed: export one frame as a file",
        ),
        (samples not in (1, 3), f"has {samples} samples per pixel, but a grey image is needed: export it in grey"),
        (
            element(dataset, "BitsAllocated") == 1,
            "has one bit per pixel, a mask and not a radiograph: give the grey image that it belongs to",
        ),
        (no_pixels, "has a DICOM header but no complete pixel data: it may be cut short, copy or export it again"),
    ):
        if wrong:
            raise ImageError(f"{path} {sentence}.")
    check_size(path, columns, rows, max_pixels)


def _name(uid: object) -> str:
    """The name of a UID of the standard; any other text may be a damaged header with a name in it."""
    name = UID(str(uid)).name if uid else ""
    return "of an unknown kind" if name == str(uid or "") else name


def _stored_values(dataset: Dataset, path: Path) -> np.ndarray:
    """Stored pixel values of shape (H, W), or (H, W, 3)."""
    unused_below = _count_lower_bits_as_stored(dataset)
    try:
        stored = _decoded(dataset, path)
    except Exception as error:  # every decoder raises its own types
        if isinstance(error, NotImplementedError) or any(sign in f"{error}".lower() for sign in _UNSUPPORTED):
            raise ImageError(
                f"{path} has the transfer syntax {_name(dataset.file_meta.TransferSyntaxUID)}, which the installed "
                "packages cannot decode: install those of requirements.txt, or export it uncompressed."
            ) from error
        raise ImageError(
            f"{path} has DICOM pixel data that is damaged, cut short or at odds with its header: copy it again or "
            "export it anew."
        ) from error
    expected = (int(dataset.Rows), int(dataset.Columns))
    if stored.shape == (1, *expected):
        stored = stored[0]
    if stored.shape not in (expected, (*expected, 3)):
        raise ImageError(
            f"{path} holds pixels of shape {stored.shape}, but its DICOM header states {expected}: export it anew."
        )
    bits = element(dataset, "BitsStored")
    if stored.dtype.kind in "ui" and isinstance(bits, int) and 0 < bits < 8 * stored.dtype.itemsize:
        # Above BitsStored (0028,0101) may be an overlay, or no sign; pydicom 2 leaves it as it is.
        unused_above = 8 * stored.dtype.itemsize - bits
        stored = (stored << unused_above) >> unused_above  # an arithmetic shift for signed types: the sign is extended
    return stored >> unused_below if unused_below else stored


def _count_lower_bits_as_stored(dataset: Dataset) -> int:
    """Where ``HighBit`` (0028,0102) puts the values higher than at the lowest bit, let decoders keep all bits below it.

    Returns:
        How many of these bits lie below the values.
    """
    bits, high, allocated = (element(dataset, keyword) for keyword in ("BitsStored", "HighBit", "BitsAllocated"))
    if not all(isinstance(number, int) for number in (bits, high, allocated)) or not 0 < bits <= high < allocated:
        return 0
    dataset.BitsStored = high + 1
    return high + 1 - bits


def _decoded(dataset: Dataset, path: Path) -> np.ndarray:
    """The pixels by pydicom; 12-bit JPEG by GDCM itself, for pydicom decodes it with a package under the GPL alone."""
    grey_of_16_bits = element(dataset, "BitsAllocated") == 16 and element(dataset, "SamplesPerPixel") == 1
    if dataset.file_meta.TransferSyntaxUID != JPEGExtended12Bit or not grey_of_16_bits:
        return np.asarray(dataset.pixel_array)
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    if not reader.Read():
        raise ValueError("GDCM cannot read the file")
    image = reader.GetImage()
    signed = image.GetPixelFormat().GetPixelRepresentation()
    buffer = image.GetBuffer().encode("utf-8", "surrogateescape")  # bytes that SWIG hands over as text
    return np.frombuffer(buffer, np.int16 if signed else np.uint16).reshape(int(dataset.Rows), int(dataset.Columns))
