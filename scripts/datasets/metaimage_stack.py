"""The images of a MetaImage stack one after the other, without ever holding the whole stack in memory."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from datasets.files import DataSetError

_TYPES = {"MET_UCHAR": np.uint8, "MET_USHORT": np.uint16, "MET_SHORT": np.int16}


def stacked_images(path: Path) -> Iterator[np.ndarray]:
    """The images of a three-dimensional ``.mha`` file, compressed or not.

    Args:
        path: the file.

    Yields:
        arrays of shape (H, W) or (H, W, channels).

    Raises:
        DataSetError: when the file is no such stack or ends too early.
    """
    with path.open("rb") as file:
        header = _header(path, file)
        size = [int(number) for number in header.get("DimSize", "").split()]
        kind = _TYPES.get(header.get("ElementType", ""))
        if len(size) != 3 or kind is None or header.get("ElementDataFile") != "LOCAL":
            raise DataSetError(f"{path} is no stack of 2D images in one .mha file: download it again.")
        channels = int(header.get("ElementNumberOfChannels", "1"))
        shape = (size[1], size[0], channels) if channels > 1 else (size[1], size[0])
        wanted = int(np.prod(shape)) * np.dtype(kind).itemsize
        inflate = zlib.decompressobj() if header.get("CompressedData", "").lower() == "true" else None
        for number in range(1, size[2] + 1):
            data = file.read(wanted) if inflate is None else _inflate(path, file, inflate, wanted)
            if len(data) < wanted:
                raise DataSetError(f"{path} ends within image {number} of {size[2]}: download it again.")
            yield np.frombuffer(data, dtype=kind).reshape(shape)


def _header(path: Path, file: IO[bytes]) -> dict[str, str]:
    header: dict[str, str] = {}
    for _ in range(100):
        key, equals, value = file.readline(1000).partition(b"=")
        if not equals:
            break
        name, text = key.decode("latin-1").strip(), value.decode("latin-1").strip()
        header[name] = text
        if name == "ElementDataFile":
            return header
    raise DataSetError(f"{path} has no header of a MetaImage file: download it again.")


def _inflate(path: Path, file: IO[bytes], inflate: zlib._Decompress, wanted: int) -> bytes:
    parts: list[bytes] = []
    got = 0
    try:
        while got < wanted:
            data = inflate.unconsumed_tail or file.read(1 << 20)
            part = inflate.decompress(data, wanted - got)
            if not data and not part:
                break
            parts.append(part)
            got += len(part)
    except zlib.error:
        raise DataSetError(f"{path} is compressed in a way that cannot be read: download it again.") from None
    return b"".join(parts)
