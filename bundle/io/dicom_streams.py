"""What is known of compressed DICOM data before it is unpacked: a small file can state, or hide, a huge image."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import BinaryIO

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset, read_preamble

from bundle.errors import ImageError
from bundle.io.dicom_geometry import element
from bundle.io.quiet import quiet_decoders

try:  # pydicom 3
    from pydicom.encaps import get_frame
except ImportError:  # pydicom 2
    from pydicom.encaps import defragment_data

    def get_frame(data: bytes, index: int, *, number_of_frames: int) -> bytes:  # type: ignore[misc]
        """The one frame of encapsulated pixel data."""
        return defragment_data(data)


_DEFLATED = "1.2.840.10008.1.2.1.99"
_JPEG_KINDS = "1.2.840.10008.1.2.4."
_RLE = "1.2.840.10008.1.2.5"

#: A deflated file may unpack to this many bytes in any case, and beyond that to so many times its own size.
_INFLATED_BYTES = 64 * 1024 * 1024
_INFLATED_TIMES = 20
_CHUNK = 1024 * 1024

_ITEM = b"\xfe\xff\x00\xe0"
_JPEG_2000 = b"\xff\x4f\xff\x51"
_CODESTREAM_WITHIN = 4096
_NO_FRAME = {0xC4, 0xC8, 0xCC}  # markers among those of frames that are tables
_MOST_COMPONENTS = 4


def check_inflated_size(path: Path) -> None:
    """Refuse a deflated DICOM file (transfer syntax 1.2.840.10008.1.2.1.99) that unpacks to far more than it is.

    Nothing is kept, so that the check takes no memory.

    Args:
        path: the file.

    Raises:
        ImageError: when it unpacks to more than 64 MB and to more than twenty times its size.
    """
    with path.open("rb") as file:
        if _stated_syntax(file) != _DEFLATED:
            return
        most = max(_INFLATED_BYTES, _INFLATED_TIMES * path.stat().st_size)
        inflater, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
        try:
            while chunk := file.read(_CHUNK):
                while chunk and not inflater.eof:
                    size += len(inflater.decompress(chunk, _CHUNK))
                    if size > most:
                        raise ImageError(
                            f"{path} is a deflated DICOM file that unpacks to more than {most} bytes, far more than a "
                            "radiograph of its size: export it in another transfer syntax."
                        )
                    chunk = inflater.unconsumed_tail
        except zlib.error:  # damaged: the reader says so
            return


def needs_native_decoder(path: Path) -> bool:
    """Whether a DICOM file is decoded by code that a damaged file can crash: all kinds of JPEG are."""
    with path.open("rb") as file:
        return _stated_syntax(file).startswith(_JPEG_KINDS)


def _stated_syntax(file: BinaryIO) -> str:
    """The transfer syntax UID of a file, which is then read up to its data set; empty where it states none."""
    try:
        with quiet_decoders():  # a warning repeats what is in the header
            read_preamble(file, True)
            meta = read_dataset(file, False, True, stop_when=lambda tag, *_: tag >> 16 != 2)
            return str(element(meta, "TransferSyntaxUID"))
    except Exception:  # damaged: the reader says so
        return ""


def check_compressed_frame(dataset: Dataset, path: Path) -> None:
    """Refuse compressed pixel data that holds an image of another size than the DICOM header states.

    Decoders make room for what the compressed image says of itself, so this is looked at first.

    Args:
        dataset: the whole data set.
        path: the file, for the message.

    Raises:
        ImageError: when the sizes differ, or there are more than four channels.
    """
    data = element(dataset, "PixelData")
    if not isinstance(data, bytes) or not data.startswith(_ITEM):  # PS3.5 A.4: compressed data comes in items
        return
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    if dataset.file_meta.TransferSyntaxUID == _RLE:
        raw = rows * columns * int(element(dataset, "SamplesPerPixel") or 1) * (int(dataset.BitsAllocated) // 8 or 1)
        if len(data) > 2 * raw + 65536:
            raise ImageError(
                f"{path} holds more run-length data than {columns} x {rows} pixels can need, which its DICOM header "
                "states: export it anew."
            )
        return
    try:
        frame = _frame_of(get_frame(data, 0, number_of_frames=1)[: 2**20])  # one frame may lie in many fragments
    except Exception:  # damaged: the decoder says so
        return
    if frame and (frame[:2] != (columns, rows) or frame[2] > _MOST_COMPONENTS):
        raise ImageError(
            f"{path} holds a compressed image of {frame[0]} x {frame[1]} pixels with {frame[2]} channel(s), but its "
            f"DICOM header states {columns} x {rows} pixels: export it anew."
        )


def _frame_of(stream: bytes) -> tuple[int, int, int] | None:
    """Width, height and channels that a JPEG, JPEG-LS or JPEG 2000 stream states; None where it states none."""
    if stream.startswith(b"\xff\xd8"):
        return _jpeg_frame(stream)
    start = stream.find(_JPEG_2000, 0, _CODESTREAM_WITHIN)
    if start < 0:
        return None
    # SIZ (ISO 15444-1 A.5.1): extent and offset of the image on the reference grid
    right, bottom, left, top, components = struct.unpack_from(">4I16xH", stream, start + 8)
    return right - left, bottom - top, components


def _jpeg_frame(stream: bytes) -> tuple[int, int, int] | None:
    """Start of frame of a JPEG stream (ITU T.81 B.2.2), or of JPEG-LS (ITU T.87 C.2.2)."""
    place = 2
    while place + 4 <= len(stream):
        if stream[place] != 0xFF:
            return None
        marker = stream[place + 1]
        if marker == 0xFF:  # a fill byte
            place += 1
            continue
        if (0xC0 <= marker <= 0xCF and marker not in _NO_FRAME) or marker == 0xF7:
            height, width, components = struct.unpack_from(">HHB", stream, place + 5)
            return width, height, components
        place += 2 + int.from_bytes(stream[place + 2 : place + 4], "big")
    return None
