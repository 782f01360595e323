"""The same picture compressed and plain, in every transfer syntax that the documentation lists.

The streams of high-throughput JPEG 2000 in the folder beside this file hold `picture(top=...)`, as OpenJPH encoded it,
because no package of the project does.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydicom
import pytest
from image_files import dicom_dataset, picture, quiet_pydicom, save_dicom, write_dicom
from pydicom.encaps import encapsulate, fragment_frame, itemize_fragment
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian

from bundle.errors import ImageError
from bundle.io.radiographs import read_radiograph

ROOT = Path(__file__).parents[2]
PICTURES = {
    "8": (picture(top=255, dtype=np.uint8), 8),
    "12": (picture(top=4095), 12),
    "16": (picture(top=65535), 16),
    "signed 12": (picture(top=4000, dtype=np.int16) - np.int16(2000), 12),
    "signed 16": ((picture(top=65000, dtype=np.int32) - 32000).astype(np.int16), 16),
}
EVERY = tuple(PICTURES)


class Syntax(NamedTuple):
    """A row of the table in docs/formats.md: its beginning there, GDCM's name, and what it can hold how exactly."""

    documented: str
    gdcm: str
    holds: tuple[str, ...]
    levels: int


#: By the end of the transfer syntax UID after 1.2.840.10008.1.2.
SYNTAXES = {
    "": Syntax("uncompressed: implicit", "ImplicitVRLittleEndian", EVERY, 0),
    ".2": Syntax("uncompressed: implicit, explicit, big endian", "ExplicitVRBigEndian", EVERY, 0),
    ".5": Syntax("RLE lossless", "RLELossless", EVERY, 0),
    ".4.50": Syntax("JPEG baseline", "JPEGBaselineProcess1", ("8",), 1),
    ".4.51": Syntax("JPEG extended", "JPEGExtendedProcess2_4", ("8", "12"), 1),
    ".4.57": Syntax("JPEG lossless", "JPEGLosslessProcess14", EVERY, 0),
    ".4.70": Syntax("JPEG lossless (process 14, also first-order)", "JPEGLosslessProcess14_1", EVERY, 0),
    ".4.80": Syntax("JPEG-LS lossless", "JPEGLSLossless", EVERY, 0),
    ".4.81": Syntax("JPEG-LS lossless and near-lossless", "JPEGLSNearLossless", EVERY, 0),
    ".4.90": Syntax("JPEG 2000 lossless", "JPEG2000Lossless", EVERY, 0),
    ".4.91": Syntax("JPEG 2000 lossless and lossy", "JPEG2000", EVERY, 1),
}
THROUGHPUT = {".4.201": ("8", "16"), ".4.202": ("16",), ".4.203": ("16_lossy",)}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("plain")
    return {name: write_dicom(folder / f"{name}.dcm", *made) for name, made in PICTURES.items()}


@pytest.fixture(scope="module")
def encoded(plain: dict[str, Path]) -> dict[tuple[str, str], Path]:
    """Files by syntax and picture, each made by GDCM in a process of its own."""
    program = [sys.executable, str(ROOT / "tests" / "workflows" / "gdcm_encoder.py")]
    made = {}
    for name, path in plain.items():
        targets = {end: path.with_name(f"{name}{end}.dcm") for end, row in SYNTAXES.items() if name in row.holds}
        words = [f"{target}={SYNTAXES[end].gdcm}" for end, target in targets.items()]
        subprocess.run([*program, str(path), *words], check=True, capture_output=True, timeout=120)
        made.update({(end, name): target for end, target in targets.items()})
    return made


def differ(one: Path, other: Path, levels: int) -> None:
    """The same pixels, but for so many grey levels."""
    pixels = read_radiograph(other).pixels
    step = 1 / (np.ptp(pydicom.dcmread(other).pixel_array.astype(float)) - 1)
    np.testing.assert_allclose(read_radiograph(one).pixels, pixels, atol=2.5 * levels * step + 1e-6)


@pytest.mark.parametrize(("end", "name"), [(end, name) for end, row in SYNTAXES.items() for name in row.holds])
def test_compressed_and_plain(
    encoded: dict[tuple[str, str], Path], plain: dict[str, Path], end: str, name: str
) -> None:
    path = encoded[end, name]
    assert pydicom.filereader.read_file_meta_info(path).TransferSyntaxUID == f"1.2.840.10008.1.2{end}"
    differ(path, plain[name], SYNTAXES[end].levels)


@pytest.mark.parametrize("name", PICTURES)
def test_deflated_and_written_by_pydicom(tmp_path: Path, plain: dict[str, Path], name: str) -> None:
    for syntax in (DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian):
        stored, bits = PICTURES[name]
        dataset = dicom_dataset(stored, bits)
        dataset.file_meta.TransferSyntaxUID = syntax
        if syntax == ExplicitVRBigEndian:
            with quiet_pydicom():
                dataset.is_little_endian = False
            dataset.PixelData = stored.astype(stored.dtype.newbyteorder(">")).tobytes()
        differ(save_dicom(tmp_path / "a.dcm", dataset), plain[name], 0)


@pytest.mark.parametrize(("end", "name"), [(end, name) for end, names in THROUGHPUT.items() for name in names])
def test_high_throughput(tmp_path: Path, plain: dict[str, Path], end: str, name: str) -> None:
    stored, bits = PICTURES[name.split("_")[0]]
    dataset = dicom_dataset(stored, bits)
    other = "1.2.840.10008.1.2.4.100"  # of the same length: pydicom 2 neither knows nor writes the right one
    dataset.file_meta.TransferSyntaxUID = other
    dataset.PixelData = encapsulate([(Path(__file__).parent / "streams" / f"picture_{name}.j2c").read_bytes()])
    dataset["PixelData"].VR = "OB"
    path = save_dicom(tmp_path / "a.dcm", dataset)
    path.write_bytes(path.read_bytes().replace(other.encode(), f"1.2.840.10008.1.2{end}".encode()))
    if int(pydicom.__version__[0]) < 3:
        with pytest.raises(ImageError, match=r"which the installed packages cannot decode: .* export it uncompressed"):
            read_radiograph(path)
    else:
        differ(path, plain[name.split("_")[0]], int("lossy" in name))


def test_every_transfer_syntax_of_the_documentation_is_tried() -> None:
    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    table = text[text.index("### Transfer syntaxes") : text.index("All packages in the table")]
    listed = re.findall(r"^\| ([^|]+?) \|", table, re.MULTILINE)[2:]
    tried = [*(row.documented for row in SYNTAXES.values()), "High-throughput JPEG 2000"]
    assert all(any(row.startswith(one) for row in listed) for one in tried)
    assert all(any(row.startswith(one) for one in tried) for row in listed), listed


@pytest.mark.parametrize("fragments", [2, 3, 40])
@pytest.mark.parametrize("end", [".4.70", ".4.80", ".4.90", ".5"])
def test_a_frame_in_many_fragments(
    tmp_path: Path, encoded: dict[tuple[str, str], Path], plain: dict[str, Path], end: str, fragments: int
) -> None:
    """The size that a stream states is looked for in the frame, whatever the first fragment holds of it."""
    dataset = pydicom.dcmread(encoded[end, "16"])
    stream = dataset.PixelData[16:]  # after the empty offset table and the head of the one fragment
    parts = list(fragment_frame(stream, fragments)) if end != ".5" else [stream]
    dataset.PixelData = b"\xfe\xff\x00\xe0\0\0\0\0" + b"".join(itemize_fragment(part) for part in parts)
    differ(save_dicom(tmp_path / "a.dcm", dataset), plain["16"], 0)


@pytest.mark.parametrize("first", [2, 8, 10, 100])
def test_a_short_first_fragment(
    tmp_path: Path, encoded: dict[tuple[str, str], Path], plain: dict[str, Path], first: int
) -> None:
    dataset = pydicom.dcmread(encoded[".4.70", "16"])
    size = int.from_bytes(dataset.PixelData[12:16], "little")
    stream = dataset.PixelData[16 : 16 + size]
    parts = [stream[:first], stream[first:]]
    dataset.PixelData = b"\xfe\xff\x00\xe0\0\0\0\0" + b"".join(itemize_fragment(part) for part in parts)
    differ(save_dicom(tmp_path / "a.dcm", dataset), plain["16"], 0)
