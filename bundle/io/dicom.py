"""DICOM files: from bytes to stored values, grey values, and which of them count (DICOM PS3.3 C.7.6.3, C.11)."""

import re
from io import BytesIO
from pathlib import Path

import gdcm
import numpy as np
import pydicom
from PIL import Image, ImageDraw
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGExtended12Bit,
)

from bundle.errors import ImageError
from bundle.io.decoded import DecodedImage, check_size, is_grey
from bundle.io.dicom_geometry import (
    element,
    finite_numbers,
    first_item,
    functional_groups,
    laterality,
    pixel_aspect,
    pixel_spacing,
    rows_towards,
)

try:  # pydicom 3
    from pydicom.pixels import apply_modality_lut, apply_windowing
except ImportError:  # pydicom 2
    from pydicom.pixel_data_handlers.util import apply_modality_lut, apply_windowing  # type: ignore[no-redef]

_ANGIOGRAPHY = re.compile(r"1\.2\.840\.10008\.5\.1\.4\.1\.1\.12\.[123](\.1)?")  # and fluoroscopy
_MAX_VERTICES = 10_000
_FARTHEST = 1e6  # pixels; a vertex further away is malformed
_EDGES = ("LeftVerticalEdge", "RightVerticalEdge", "UpperHorizontalEdge", "LowerHorizontalEdge")
_PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_UNSUPPORTED = ("missing dependenc", "not support", "handler", "no available", "no plugins", "unsupported")


def read_dicom(path: Path, max_pixels: int, voi_lut: bool = False) -> DecodedImage:
    """Read a DICOM file that holds one grey image.

    The modality transformation is applied (see :func:`modality_values`). The VOI transformation is not, unless
    ``voi_lut`` asks for it: it is one reader's display choice, it differs between exports of the same exposure and can
    clip bone away, while the percentiles in :mod:`bundle.io.intensity` are the same function of the measured values
    for every file. Overlays (60xx) are left out, also those in unused bits of the pixels. Padding and the display
    shutter (:func:`hidden_pixels`) mark pixels to ignore. What the header's functional groups say holds for
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


def modality_values(stored: np.ndarray, dataset: Dataset, path: Path) -> np.ndarray:
    """The values after the modality transformation: by the table, or else by slope and intercept.

    In angiography and fluoroscopy whose values are not linear (``PixelIntensityRelationship`` (0028,1040) ``LOG`` or
    ``DISP``), the transformation leads back to the intensity of the X-rays and is not for display.

    Args:
        stored: stored values of shape (H, W), or (H, W, 3).
        dataset: the DICOM header, with the elements of its functional groups.
        path: the file, for the message.

    Returns:
        Array of shape (H, W).

    Raises:
        ImageError: when the transformation is malformed, or the image shows colour.
    """
    if stored.ndim == 3 or element(dataset, "PhotometricInterpretation") == "PALETTE COLOR":
        return _grey_of_colour(stored, dataset, path)
    angiography = _ANGIOGRAPHY.fullmatch(str(element(dataset, "SOPClassUID")))
    if angiography and element(dataset, "PixelIntensityRelationship") in ("LOG", "DISP"):
        return stored
    try:
        if table := first_item(dataset, "ModalityLUTSequence"):
            return _looked_up(stored, table, dataset, signed=stored.dtype.kind == "i")
        if element(dataset, "RescaleSlope") == 1 and not element(dataset, "RescaleIntercept"):
            return stored  # in its own type, which is faster
        return np.asarray(apply_modality_lut(stored, dataset))
    except Exception as error:  # pydicom raises many types for a damaged file
        raise ImageError(
            f"{path} has a malformed modality transformation (ModalityLUTSequence or RescaleSlope): export it anew."
        ) from error


def windowed(values: np.ndarray, dataset: Dataset, path: Path) -> np.ndarray:
    """The values after the first VOI transformation: by the table, or else by the window; the same without either.

    Args:
        values: values after the modality transformation.
        dataset: the DICOM header, with the elements of its functional groups.
        path: the file, for the message.

    Raises:
        ImageError: when the transformation is malformed.
    """
    try:
        table = first_item(dataset, "VOILUTSequence")
        if table and all(element(table, keyword) is not None for keyword in ("LUTDescriptor", "LUTData")):
            signed = element(dataset, "PixelRepresentation") == 1 or float(values.min()) < 0
            return _looked_up(values, table, dataset, signed=signed or (element(dataset, "RescaleIntercept") or 0) < 0)
        return np.asarray(apply_windowing(values, dataset))
    except Exception as error:
        raise ImageError(
            f"{path} has a malformed VOI transformation (VOILUTSequence or WindowWidth): set voi_lut to false."
        ) from error


def _looked_up(values: np.ndarray, table: Dataset, dataset: Dataset, *, signed: bool) -> np.ndarray:
    """The entries of a table for some values (PS3.3 C.11.1.1), of 8 bits (two in a word) to 16 bits.

    The descriptor's three numbers are taken for what they have to be, whether they are written as signed or unsigned.
    """
    count, first, _ = (int(number) for number in table.LUTDescriptor)
    count, first = count % 2**16 or 2**16, _within(first, np.dtype(np.int16 if signed else np.uint16))
    data = table.LUTData
    if isinstance(data, bytes):
        order = "<u2" if dataset.file_meta.TransferSyntaxUID.is_little_endian else ">u2"
        words = np.frombuffer(data + bytes(len(data) % 2), order)
    else:
        words = np.array(data, np.uint16)
    entries = words if words.size >= count else words.astype("<u2").view(np.uint8)
    places = np.clip(np.rint(values).astype(np.int64) - first, 0, count - 1)
    return entries[places]


def _within(number: int, dtype: np.dtype) -> int:
    """A whole number whose bits are those of an integer type, signed or not, whichever it was read as."""
    return int(np.array(number & (2 ** (8 * dtype.itemsize) - 1), np.uint64).astype(dtype))


def padding(stored: np.ndarray, dataset: Dataset) -> np.ndarray | None:
    """Where pixels hold no measurement, by ``PixelPaddingValue`` (0028,0120) and its range limit (0028,0121).

    They are of the type of the stored values, whatever the value representation in the file.

    Returns:
        Boolean array of shape (H, W), or None where there is no such pixel.
    """
    first, last = (element(dataset, f"PixelPadding{kind}") for kind in ("Value", "RangeLimit"))
    if stored.ndim != 2 or stored.dtype.kind not in "ui" or not isinstance(first, int):
        return None
    low, high = sorted(_within(value, stored.dtype) for value in (first, last if isinstance(last, int) else first))
    found = (stored >= low) & (stored <= high)
    return found if found.any() else None


def white_is_zero(dataset: Dataset) -> bool:
    """Whether low grey values are to be shown white, as bone is.

    ``PhotometricInterpretation`` (0028,0004) says so of images for presentation. In images for processing it is bound
    to be neutral; there ``PixelIntensityRelationshipSign`` (0028,1041) of 1 says that low stored values belong to few
    X-rays (PS3.3 C.8.11.3.1.2).
    """
    sign = element(dataset, "PixelIntensityRelationshipSign")
    if element(dataset, "PresentationIntentType") == "FOR PROCESSING" and sign in (-1, 1):
        return bool((sign > 0) == ((element(dataset, "RescaleSlope") or 1) > 0))
    return element(dataset, "PhotometricInterpretation") == "MONOCHROME1"


def _grey_of_colour(stored: np.ndarray, dataset: Dataset, path: Path) -> np.ndarray:
    photometric = str(element(dataset, "PhotometricInterpretation"))
    # Decoders differ in whether they return YBR or RGB. A palette, of one channel, is taken for colour.
    kinds = [(), (1, 2)] if photometric.startswith("YBR") else [()] if stored.ndim == 3 else []
    full_range = float(np.iinfo(stored.dtype).max if stored.dtype.kind in "ui" else stored.max())
    if any(is_grey(stored, full_range, neutral) for neutral in kinds):
        return stored[..., 0]
    kind = photometric if re.fullmatch(r"[A-Z0-9_ ]{1,16}", photometric) else "of an unknown kind"
    raise ImageError(
        f"{path} is a colour image ({kind}), but a grey radiograph is needed: export it in grey (MONOCHROME2)."
    )


def hidden_pixels(dataset: Dataset, shape: tuple[int, ...], aspect: float = 1.0) -> np.ndarray | None:
    """Pixels outside the display shutter (DICOM PS3.3 C.7.6.11).

    ``ShutterShape`` (0018,1600) can name several of ``RECTANGULAR``, ``CIRCULAR`` and ``POLYGONAL``; what lies outside
    any of them is hidden. Edges, centre and vertices are counted from 1 and name rows before columns. A shape whose
    numbers are missing or malformed hides nothing, nor do shapes that would hide every pixel.

    The alike elements of the collimator (0018,1700 and on) are not used: devices write them in other units than
    pixels of the image, so that they would hide what is plainly there.

    Args:
        dataset: the DICOM header.
        shape: rows and columns of the image.
        aspect: height of a pixel over its width.

    Returns:
        Boolean array of shape (H, W), True where a pixel is hidden; None where none is.
    """
    named = element(dataset, "ShutterShape")
    shapes = {str(entry).strip().upper() for entry in ([named] if isinstance(named, str) else named or [])}
    visible = np.ones(shape, dtype=bool)
    rows, columns = np.ogrid[1.0 : shape[0] + 1, 1.0 : shape[1] + 1]
    edges = np.concatenate([finite_numbers(dataset, f"Shutter{name}") for name in _EDGES])
    if "RECTANGULAR" in shapes and len(edges) == len(_EDGES):
        left, right, upper, lower = edges
        visible &= (rows >= upper) & (rows <= lower) & (columns >= left) & (columns <= right)
    centre, radius = (finite_numbers(dataset, f"{name}OfCircularShutter") for name in ("Center", "Radius"))
    if "CIRCULAR" in shapes and len(centre) == 2 and len(radius) == 1 and radius[0] > 0:
        # The radius counts pixels along a row: where pixels are not square, the circle is an ellipse of pixels.
        visible &= ((rows - centre[0]) * aspect) ** 2 + (columns - centre[1]) ** 2 <= radius[0] ** 2
    vertices = finite_numbers(dataset, "VerticesOfThePolygonalShutter")
    sound = 6 <= len(vertices) <= 2 * _MAX_VERTICES and len(vertices) % 2 == 0 and np.abs(vertices).max() <= _FARTHEST
    if "POLYGONAL" in shapes and sound:
        picture = Image.new("L", (shape[1], shape[0]))
        points = [(float(column), float(row)) for row, column in vertices.reshape(-1, 2) - 1]
        ImageDraw.Draw(picture).polygon(points, fill=1, outline=1)
        visible &= np.asarray(picture, dtype=bool)
    return ~visible if visible.any() and not visible.all() else None
