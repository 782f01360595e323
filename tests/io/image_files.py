"""Small image files, written by hand where the test needs control of the header."""

import contextlib
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

COMPUTED_RADIOGRAPHY = "1.2.840.10008.5.1.4.1.1.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
CT = "1.2.840.10008.5.1.4.1.1.2"
DIGITAL_XRAY = "1.2.840.10008.5.1.4.1.1.1.1"


def picture(height: int = 40, width: int = 56, top: int = 4000, dtype: type = np.uint16) -> np.ndarray:
    """An image without any symmetry, each row and column different, 0 to ``top``."""
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    values = rows * 3 + columns + 40 * ((rows < 8) & (columns > width - 12))
    return np.round(values / values.max() * top).astype(dtype)


def expected(values: np.ndarray) -> np.ndarray:
    """Grey values stretched between their 0.5 and 99.5 percentiles, 0 to 1."""
    low, high = np.percentile(values, (0.5, 99.5))
    return np.clip((values.astype(np.float64) - low) / (high - low), 0, 1).astype(np.float32)


@contextlib.contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Without what pydicom 3 says of the ways of pydicom 2."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@quiet_pydicom()
def dicom_dataset(stored: np.ndarray, bits: int = 12, sop_class: str = COMPUTED_RADIOGRAPHY, **elements) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", Dataset(), file_meta=meta, preamble=b"\0" * 128)
    dataset.is_little_endian, dataset.is_implicit_VR = True, False
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    dataset.Modality = "CR"
    dataset.Rows, dataset.Columns = stored.shape[:2]
    dataset.SamplesPerPixel = 3 if stored.ndim == 3 else 1
    if stored.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = "RGB" if stored.ndim == 3 else "MONOCHROME2"
    dataset.BitsAllocated = 8 * stored.dtype.itemsize
    dataset.BitsStored = min(bits, dataset.BitsAllocated)
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OB" if dataset.BitsAllocated == 8 else "OW"
    return dataset


def functional_groups(per_frame: bool = False, **groups: dict) -> dict[str, list[Dataset]]:
    """Functional groups by their keywords: shared by all frames, or of the one frame."""
    held = Dataset()
    for name, elements in groups.items():
        group = Dataset()
        for keyword, value in elements.items():
            setattr(group, keyword, value)
        setattr(held, name, [group])
    shared, own = (Dataset(), held) if per_frame else (held, Dataset())
    return {"SharedFunctionalGroupsSequence": [shared], "PerFrameFunctionalGroupsSequence": [own]}


def lut_item(entries: np.ndarray, bits: int, first: int = 0, vr: str = "OW", descriptor: str = "US") -> Dataset:
    """An item of a sequence of look-up tables; entries of 8 bits are packed."""
    data = np.asarray(entries, "<u2" if bits > 8 else "u1").tobytes()
    item = Dataset()
    item.add_new(0x00283002, descriptor, [len(entries) % 65536, first, bits])
    item.add_new(0x00283006, vr, data if vr == "OW" else np.frombuffer(data, "<u2").tolist())
    item.ModalityLUTType = "US"
    return item


@quiet_pydicom()
def save_dicom(path: Path, dataset: Dataset) -> Path:
    pydicom.dcmwrite(path, dataset, write_like_original=False)
    return path


def write_dicom(path: Path, stored: np.ndarray, bits: int = 12, **elements) -> Path:
    return save_dicom(path, dicom_dataset(stored, bits, **elements))


def write_nifti(path: Path, pixels: np.ndarray, affine=None, sform=1, qform=1, zooms=None, units=None) -> Path:
    """``pixels`` in the array order of NIfTI, (columns, rows, ...)."""
    image = nib.Nifti1Image(pixels, affine)
    if zooms is not None:
        image.header.set_zooms(zooms)
    if affine is not None:
        image.header.set_sform(affine, sform)
        image.header.set_qform(affine, qform)
    if units is not None:
        image.header.set_xyzt_units(units)
    nib.save(image, path)
    return path


_META_TYPES = {
    "uint8": "UCHAR",
    "uint16": "USHORT",
    "int16": "SHORT",
    "int32": "INT",
    "float32": "FLOAT",
    "float64": "DOUBLE",
}
_NRRD_TYPES = {
    "uint8": "uchar",
    "uint16": "ushort",
    "int16": "short",
    "int32": "int",
    "float32": "float",
    "float64": "double",
}


def write_metaimage(
    path: Path, pixels: np.ndarray, header: str = "", data: Path | None = None, channels: int = 1
) -> Path:
    """``pixels`` in the order of NumPy, (..., rows, columns), with the channels last where there are some."""
    shape = pixels.shape[:-1] if channels > 1 else pixels.shape
    text = (
        f"ObjectType = Image\nNDims = {len(shape)}\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
        f"{header}DimSize = {' '.join(map(str, shape[::-1]))}\nElementNumberOfChannels = {channels}\n"
        f"ElementType = MET_{_META_TYPES[pixels.dtype.name]}\nElementDataFile = {data.name if data else 'LOCAL'}\n"
    )
    path.write_bytes(text.encode() + (b"" if data else pixels.tobytes()))
    if data:
        data.write_bytes(pixels.tobytes())
    return path


def write_nrrd(path: Path, pixels: np.ndarray, header: str = "", data: Path | None = None) -> Path:
    """``pixels`` in the order of NumPy, (..., rows, columns)."""
    text = (
        f"NRRD0004\ntype: {_NRRD_TYPES[pixels.dtype.name]}\ndimension: {pixels.ndim}\n"
        f"sizes: {' '.join(map(str, pixels.shape[::-1]))}\nencoding: raw\nendian: little\n{header}"
        + (f"data file: {data.name}\n" if data else "")
        + "\n"
    )
    path.write_bytes(text.encode() + (b"" if data else pixels.tobytes()))
    if data:
        data.write_bytes(pixels.tobytes())
    return path


def write_tiff(
    path: Path,
    pixels: np.ndarray,
    white_is_zero: bool = False,
    orientation: int = 1,
    planar: bool = False,
    alpha: bool = False,
) -> Path:
    """An uncompressed little-endian TIFF of one strip, from (H, W), or (H, W, C) of three channels and alpha."""
    height, width, *channels = pixels.shape
    count = channels[0] if channels else 1
    data = (np.moveaxis(pixels, 2, 0) if planar else pixels).tobytes()
    bits = struct.pack(f"<{count}H", *[8 * pixels.dtype.itemsize] * count)
    entries = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, count, 8 + len(data) if channels else 8 * pixels.dtype.itemsize),
        (259, 3, 1, 1),
        (262, 3, 1, 2 if channels else 0 if white_is_zero else 1),
        (273, 4, 1, 8),
        (274, 3, 1, orientation),
        (277, 3, 1, count),
        (278, 4, 1, height),
        (279, 4, 1, len(data)),
        (284, 3, 1, 2 if planar else 1),
        *([(338, 3, 1, 2)] if alpha else []),
        (339, 3, 1, {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]),
    ]
    content = b"II*\0" + struct.pack("<I", 8 + len(data) + len(bits)) + data + bits + struct.pack("<H", len(entries))
    path.write_bytes(content + b"".join(struct.pack("<HHII", *entry) for entry in entries) + b"\0" * 4)
    return path


def write_png_of_channels(path: Path, channels: np.ndarray) -> Path:
    """A PNG of 16 bits per channel, from an array of shape (H, W, C): 1 grey, 2 with alpha, 3 colour, 4 with alpha."""
    height, width, count = channels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[count], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in channels)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
            for name, data in chunks
        )
    )
    return path
