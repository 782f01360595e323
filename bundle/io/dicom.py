"""DICOM files: grey values after the modality transformation, and geometry."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from bundle.io.colour import is_grey
from bundle.io.decoded import DecodedImage
from bundle.io.dicom_geometry import element, pixel_spacing, slicer_pixel_to_lps
from bundle.io.dicom_shutter import hidden_pixels
from bundle.io.dicom_side import laterality, rows_towards
from bundle.io.dicom_streams import check_compressed_frame, check_inflated_size
from bundle.io.jpeg_extended import decode_extended_jpeg, decodes_extended_jpeg
from bundle.io.quiet import quiet_decoders
from bundle.io.size import check_size
from bundle.records.errors import ImageError

try:  # pydicom 3
    from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut
except ImportError:  # pydicom 2
    from pydicom.pixel_data_handlers.util import (  # type: ignore[no-redef]
        apply_color_lut,
        apply_modality_lut,
        apply_voi_lut,
    )

_PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_DECODER_PACKAGES = {  # by the beginning of the transfer syntax UID; the first that matches
    "1.2.840.10008.1.2.4.50": "python-gdcm or pylibjpeg-libjpeg",  # JPEG baseline
    "1.2.840.10008.1.2.4.51": "python-gdcm or pylibjpeg-libjpeg",  # JPEG extended, 12 bits
    "1.2.840.10008.1.2.4.57": "python-gdcm or pylibjpeg-libjpeg",  # JPEG lossless
    "1.2.840.10008.1.2.4.70": "python-gdcm or pylibjpeg-libjpeg",
    "1.2.840.10008.1.2.4.80": "python-gdcm or pyjpegls",  # JPEG-LS
    "1.2.840.10008.1.2.4.81": "python-gdcm or pyjpegls",
    "1.2.840.10008.1.2.4.90": "pylibjpeg and pylibjpeg-openjpeg",  # JPEG 2000
    "1.2.840.10008.1.2.4.91": "pylibjpeg and pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.20": "pylibjpeg and pylibjpeg-openjpeg",  # high-throughput JPEG 2000
    "1.2.840.10008.1.2.5": "pylibjpeg and pylibjpeg-rle",
}
_UNSUPPORTED = (
    "missing dependenc",
    "not support",
    "no pixel data handler",
    "no available",
    "no plugins",
    "unsupported",
)


def read_dicom(path: Path, max_pixels: int, *, voi_lut: bool = False) -> DecodedImage:
    """Read a DICOM file that holds one grey image.

    The modality transformation is applied: ``ModalityLUTSequence`` (0028,3000), or else ``RescaleSlope`` (0028,1053)
    and ``RescaleIntercept`` (0028,1052). The VOI transformation is not, unless ``voi_lut`` asks for it: it is one
    reader's display choice, it differs between exports of the same exposure and can clip bone away, while the
    percentiles in :mod:`bundle.io.intensity` are the same function of the measured values for every file. Overlays
    (60xx) are left out, also those in unused bits of the pixels. ``PixelPaddingValue`` (0028,0120) and its range limit
    (0028,0121), and the display shutter (:mod:`bundle.io.dicom_shutter`), mark pixels to ignore.

    Args:
        path: the file, with or without the 128-byte preamble.
        max_pixels: the largest number of pixels that is decoded.
        voi_lut: whether to apply the first VOI transformation of the file, ``VOILUTSequence`` (0028,3010) or else
            ``WindowCenter`` and ``WindowWidth`` (0028,1050 and 0028,1051) by ``VOILUTFunction`` (0028,1056).

    Returns:
        The grey values and the geometry. ``dark_bone`` is True for ``MONOCHROME1``.

    Raises:
        ImageError: when there is no image, more than one frame, colour, or the pixel data is damaged, cut short or in
            a transfer syntax that no installed package decodes.
    """
    with quiet_decoders():
        check_inflated_size(path)
        header = _read_dataset(path, header_only=True)
        _check_header(header, path, max_pixels)
        dataset = _read_dataset(path, header_only=False)
        if not any(keyword in dataset for keyword in _PIXEL_KEYWORDS):
            raise ImageError(
                f"{path} has a DICOM header but no complete pixel data: it may be cut short, copy or export it again."
            )
        check_compressed_frame(dataset, _transfer_syntax(dataset), path)
        stored = _stored_values(dataset, path)
        values = _modality_values(stored, dataset, path)
        if voi_lut and stored.ndim == 2:
            values = _windowed(values, dataset, path)
        spacing, source = pixel_spacing(dataset)
        return DecodedImage(
            values=values,
            ignored=_ignored(stored, dataset),
            dark_bone=element(dataset, "PhotometricInterpretation") == "MONOCHROME1",
            spacing=spacing,
            spacing_source=source,
            pixel_to_lps=slicer_pixel_to_lps(dataset),
            laterality=laterality(dataset),
            rows_towards=rows_towards(dataset),
        )


def _read_dataset(path: Path, *, header_only: bool) -> Dataset:
    try:
        # Out of memory rather than out of the file: of a file, as many bytes are made room for as an element claims.
        dataset = pydicom.dcmread(BytesIO(path.read_bytes()), force=True, stop_before_pixels=header_only)
        if _transfer_syntax(dataset) is None:  # a file without preamble
            _assume_transfer_syntax(dataset)
        return dataset
    except Exception as error:  # pydicom raises many types for a damaged file
        raise ImageError(f"{path} is a damaged or incomplete DICOM file: copy it again or export it anew.") from error


def _transfer_syntax(dataset: Dataset) -> UID | None:
    meta = getattr(dataset, "file_meta", None)
    uid = element(meta, "TransferSyntaxUID") if meta is not None else None
    return UID(str(uid)) if uid else None


def _assume_transfer_syntax(dataset: Dataset) -> None:
    """Set the uncompressed transfer syntax in which pydicom could read the header."""
    encoding = getattr(dataset, "original_encoding", None)  # pydicom 3
    implicit, little = encoding or (dataset.is_implicit_VR, dataset.is_little_endian)
    explicit_uid = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    if getattr(dataset, "file_meta", None) is None:
        dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit_uid


def _check_header(header: Dataset, path: Path, max_pixels: int) -> None:
    rows, columns = element(header, "Rows"), element(header, "Columns")
    if not isinstance(rows, int) or not isinstance(columns, int):
        raise ImageError(
            f"{path} is a DICOM file without an image ({_object_name(header)}), or cut short: give a DICOM radiograph."
        )
    frames = _whole_number(header, "NumberOfFrames", 1, path)
    if frames > 1:
        raise ImageError(
            f"{path} has {frames} frames (NumberOfFrames), but one 2D radiograph is needed: export one frame as a file."
        )
    samples = _whole_number(header, "SamplesPerPixel", 1, path)
    if samples not in (1, 3):
        raise ImageError(f"{path} has {samples} samples a pixel, but a grey image is needed: export it in grey.")
    if element(header, "BitsAllocated") == 1:
        raise ImageError(
            f"{path} has one bit a pixel, a mask and not a radiograph: give the grey image that it belongs to."
        )
    check_size(path, columns, rows, max_pixels)


def _object_name(header: Dataset) -> str:
    meta = getattr(header, "file_meta", None)
    uid = element(header, "SOPClassUID") or (element(meta, "MediaStorageSOPClassUID") if meta is not None else None)
    return _known_name(uid) or "its kind is not stated"


def _known_name(uid: object) -> str:
    """The name of a UID of the standard; empty for any other text, which may be a damaged header with a name in it."""
    name = UID(str(uid)).name if uid else ""
    return "" if name == str(uid) else name


def _whole_number(header: Dataset, keyword: str, default: int, path: Path) -> int:
    if keyword not in header:
        return default
    value = element(header, keyword)
    try:
        return default if value is None and header[keyword].is_empty else int(value)
    except Exception as error:  # pydicom raises many types for a damaged element
        raise ImageError(f"{path} has a malformed {keyword} in its DICOM header: export it anew.") from error


def _stored_values(dataset: Dataset, path: Path) -> np.ndarray:
    """Stored pixel values of shape (H, W), or (H, W, 3)."""
    try:
        if decodes_extended_jpeg(dataset):
            stored = decode_extended_jpeg(path, (int(dataset.Rows), int(dataset.Columns)))
        else:
            stored = np.asarray(dataset.pixel_array)
    except Exception as error:  # every decoder raises its own types
        reason = f"{error}".lower()
        if isinstance(error, NotImplementedError) or any(sign in reason for sign in _UNSUPPORTED):
            raise ImageError(_unsupported_sentence(dataset, path)) from error
        raise ImageError(
            f"{path} has DICOM pixel data that is damaged, cut short or at odds with its header: copy it again or "
            "export it anew."
        ) from error
    expected = (int(dataset.Rows), int(dataset.Columns))
    if stored.ndim == 3 and stored.shape[0] == 1 and stored.shape[1:] == expected:
        stored = stored[0]
    if stored.shape not in (expected, (*expected, 3)):
        raise ImageError(
            f"{path} holds pixels of shape {stored.shape}, but its DICOM header states {expected}: export it anew."
        )
    return _stored_bits_only(stored, dataset)


def _unsupported_sentence(dataset: Dataset, path: Path) -> str:
    uid = _transfer_syntax(dataset) or UID("unknown")
    for prefix, packages in _DECODER_PACKAGES.items():
        if uid.startswith(prefix):
            return (
                f"{path} is compressed as {_known_name(uid)}, which the installed packages cannot decode: "
                f"install {packages}, or export it uncompressed."
            )
    name = _known_name(uid) or "of an unknown name"
    return f"{path} has the transfer syntax {name}, which cannot be decoded: export it uncompressed."


def _stored_bits_only(stored: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Drop the bits above BitsStored (0028,0101), which pydicom 2 leaves as they are.

    In uncompressed signed data they may lack the sign, and OverlayBitPosition (60xx,0102) may put an overlay there.
    """
    bits = element(dataset, "BitsStored")
    if stored.dtype.kind not in "ui" or not isinstance(bits, int) or not 0 < bits < 8 * stored.dtype.itemsize:
        return stored
    syntax = _transfer_syntax(dataset)
    unextended_sign = stored.dtype.kind == "i" and (syntax is None or not syntax.is_compressed)
    overlay_in_pixels = any(
        (group, 0x0102) in dataset and (group, 0x3000) not in dataset and dataset[group, 0x0102].value
        for group in range(0x6000, 0x6020, 2)
    )
    if not (unextended_sign or overlay_in_pixels):
        return stored
    unused = 8 * stored.dtype.itemsize - bits
    return (stored << unused) >> unused  # an arithmetic shift for signed types: the sign is extended


def _modality_values(stored: np.ndarray, dataset: Dataset, path: Path) -> np.ndarray:
    """Grey values of shape (H, W)."""
    if stored.ndim == 3 or element(dataset, "PhotometricInterpretation") == "PALETTE COLOR":
        return _grey_of_colour(stored, dataset, path)
    slope, intercept = element(dataset, "RescaleSlope"), element(dataset, "RescaleIntercept")
    if "ModalityLUTSequence" not in dataset and (slope is None or (slope == 1 and not intercept)):
        return stored
    try:
        return np.asarray(apply_modality_lut(stored, dataset))
    except Exception as error:
        raise ImageError(
            f"{path} has a malformed modality transformation (ModalityLUTSequence or RescaleSlope): export it anew."
        ) from error


def _grey_of_colour(stored: np.ndarray, dataset: Dataset, path: Path) -> np.ndarray:
    photometric = str(element(dataset, "PhotometricInterpretation"))
    channels = stored
    if photometric == "PALETTE COLOR":
        try:
            channels = np.asarray(apply_color_lut(stored, dataset))[..., :3]
        except Exception as error:
            raise ImageError(
                f"{path} has a malformed colour palette in its DICOM header: export the image in grey."
            ) from error
    # A palette may use the upper or the lower half of its 16 bits, so its own maximum is the full range.
    palette = photometric == "PALETTE COLOR"
    full_range = float(channels.max() if palette or channels.dtype.kind == "f" else np.iinfo(channels.dtype).max)
    grey = is_grey(channels, full_range)
    if not grey and photometric.startswith("YBR"):  # decoders differ in whether they return YBR or RGB
        grey = is_grey(channels, full_range, neutral=(1, 2))
    if not grey:
        raise ImageError(
            f"{path} is a colour image ({_plain(photometric)}), but a grey radiograph is needed: export it in grey "
            "(MONOCHROME2)."
        )
    return channels[..., 0]


def _windowed(values: np.ndarray, dataset: Dataset, path: Path) -> np.ndarray:
    """The values after the first VOI transformation; the same where the file has none."""
    try:
        return np.asarray(apply_voi_lut(values, dataset))
    except Exception as error:
        raise ImageError(
            f"{path} has a malformed VOI transformation (VOILUTSequence or WindowWidth): set voi_lut to false."
        ) from error


def _ignored(stored: np.ndarray, dataset: Dataset) -> np.ndarray | None:
    padding = _padding(stored, dataset) if stored.ndim == 2 else None
    hidden = hidden_pixels(dataset, (stored.shape[0], stored.shape[1]))
    return hidden if padding is None else padding if hidden is None else padding | hidden


def _plain(code: str) -> str:
    """A code of the standard as it is; of a damaged header nothing is repeated."""
    return code if re.fullmatch(r"[A-Z0-9_ ]{1,16}", code) else "of an unknown kind"


def _padding(stored: np.ndarray, dataset: Dataset) -> np.ndarray | None:
    first = element(dataset, "PixelPaddingValue")
    if not isinstance(first, (int, float)):
        return None
    last = element(dataset, "PixelPaddingRangeLimit")
    low, high = sorted((first, last if isinstance(last, (int, float)) else first))
    padding = (stored >= low) & (stored <= high)
    return padding if padding.any() else None
