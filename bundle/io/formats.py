"""Which kind of image a file is: by its first bytes, and by the endings of file names."""

import struct
from pathlib import Path

from bundle import PRODUCT
from bundle.records.names import name_parts

IMAGE_SUFFIXES = (
    *(".dcm", ".dicom", ".dic"),
    *(".nii.gz", ".nii", ".mha", ".mhd", ".nrrd", ".nhdr"),
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".jif", ".tif", ".tiff", ".bmp", ".dib"),
)
READABLE_KINDS = "DICOM, PNG, JPEG, TIFF, BMP, NIfTI, MetaImage (.mha, .mhd) or NRRD"

_HEAD_BYTES = 132  # up to the end of DICOM's preamble and magic number
_RESULT_BYTES = 4096  # text of a PNG file and the header of a report stand at the beginning
_PNG = b"\x89PNG\r\n\x1a\n"
_MAGIC = {
    _PNG: "PNG",
    b"\xff\xd8\xff": "JPEG",
    **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "TIFF"),
    b"NRRD0": "NRRD",
}
_COMPREHENSIVE_SR = b"1.2.840.10008.5.1.4.1.1.88.33\0"
_BMP_HEADERS = tuple(size.to_bytes(4, "little") for size in (12, 16, 40, 52, 56, 64, 108, 124))
#: Formats that begin like any other file.
_BY_ENDING = {".nii.gz": "NIfTI", ".nii": "NIfTI", ".mha": "MetaImage", ".mhd": "MetaImage"}


def image_suffix(name: str) -> str:
    """The known image ending of a file name, as written there, or ``""``.

    ``"a.NII.GZ"`` gives ``".NII.GZ"``; ``"1.2.840.10008"``, a DICOM file named by its UID, gives ``""``.
    """
    known = (suffix for suffix in IMAGE_SUFFIXES if name.lower().endswith(suffix) and len(name) > len(suffix))
    return name[len(name) - len(next(known, "")) :]


def file_stem(name: str) -> str:
    """The file name without its folders and without the ending of an image file; other dots stay."""
    last = (name_parts(name) or ("",))[-1]
    return last[: len(last) - len(image_suffix(last))]


def announces_image(path: Path) -> bool:
    """Whether a file with no image ending is an image all the same; False where it cannot be opened.

    DICOM without preamble counts where the name has no ending or a number for one (``IM0001``, ``1.2.840.10008``).
    """
    try:
        head = _head(path)
    except OSError:
        return False
    kind = _kind(head, path)
    numbered = not path.suffix or path.suffix[1:].isdigit()
    return kind is not None and (kind != "DICOM" or numbered or head[128:132] == b"DICM")


def is_own_result(path: Path) -> bool:
    """Whether a file is a picture or a structured report that this product wrote; False where it cannot be opened."""
    if not path.name.lower().endswith((".png", ".sr.dcm")):
        return False
    try:
        with path.open("rb") as file:
            head = file.read(_RESULT_BYTES)
    except OSError:
        return False
    picture = head.startswith(_PNG) and b"Software\0" + PRODUCT.encode() in head
    return picture or (_COMPREHENSIVE_SR in head and PRODUCT.encode() in head)


def sniff_kind(path: Path) -> str | None:
    """The kind of image that a file's first bytes announce, or its ending in the case of NIfTI and MetaImage.

    Returns:
        ``"DICOM"``, ``"PNG"``, ``"JPEG"``, ``"BMP"``, ``"TIFF"``, ``"NIfTI"``, ``"NRRD"``, ``"MetaImage"``, or None
        where it is none of these.

    Raises:
        OSError: when the file cannot be opened.
    """
    return _kind(_head(path), path)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)


def _kind(head: bytes, path: Path) -> str | None:
    if head[128:132] == b"DICM":
        return "DICOM"
    if head.startswith(b"BM") and head[14:18] in _BMP_HEADERS:
        return "BMP"
    kinds = [kind for magic, kind in _MAGIC.items() if head.startswith(magic)]
    kinds += [kind for ending, kind in _BY_ENDING.items() if path.name.lower().endswith(ending)]
    return next(iter(kinds), "DICOM" if _starts_like_a_dicom_data_set(head) else None)


def _starts_like_a_dicom_data_set(head: bytes) -> bool:
    """Whether the bytes start with a DICOM element of group 0002 or 0008: a file without preamble.

    The element has either a value representation of two capital letters or, in implicit encoding, a short length.
    """
    if len(head) < 8:
        return False
    for order in "<>":
        group, element, length = struct.unpack(f"{order}HHI", head[:8])
        explicit = head[4:6].isalpha() and head[4:6].isupper()
        if group in (0x0002, 0x0008) and element <= 0x0100 and (explicit or 0 < length <= 256):
            return True
    return False
