"""Small files that would fill the memory, never end, or show another file: refused before anything is decoded."""

import gzip
import io
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_files import dicom_dataset, picture, save_dicom, write_dicom, write_metaimage, write_nifti, write_nrrd
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, RLELossless

from bundle.errors import ImageError
from bundle.io import decoder_process, radiographs
from bundle.io.radiographs import read_radiograph


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(ImageError) as caught:
        read_radiograph(path, **options)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message and path.name in message
    return message


def deflated(path: Path, pixels: np.ndarray) -> Path:
    dataset = dicom_dataset(pixels)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return save_dicom(path, dataset)


def test_a_deflated_file_that_unpacks_to_far_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.testing.assert_allclose(
        read_radiograph(deflated(tmp_path / "good.dcm", picture())).pixels,
        read_radiograph(write_dicom(tmp_path / "plain.dcm", picture())).pixels,
    )
    bomb = deflated(tmp_path / "bomb.dcm", np.zeros((10_000, 10_000), np.uint16))
    assert bomb.stat().st_size < 2_000_000
    monkeypatch.setattr(radiographs, "_DECODER_BYTES", 150 * 1024**2)
    assert "takes more time or memory" in refused(bomb, max_pixels=1000)


def compressed(path: Path, syntax: str, stream: bytes, **elements: Any) -> Path:
    dataset = dicom_dataset(picture(top=255, dtype=np.uint8), bits=8, **elements)
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    return save_dicom(path, dataset)


def picture_as(kind: str, height: int = 40, width: int = 56, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture(height, width, top=255, dtype=np.uint8)).save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("syntax", "kind", "options"),
    [
        ("1.2.840.10008.1.2.4.50", "JPEG", {}),
        ("1.2.840.10008.1.2.4.50", "JPEG", {"comment": b"before the frame"}),
        ("1.2.840.10008.1.2.4.90", "JPEG2000", {"no_jp2": True}),
        ("1.2.840.10008.1.2.4.90", "JPEG2000", {}),
    ],
)
def test_a_compressed_image_of_another_size_than_its_header(
    tmp_path: Path, syntax: str, kind: str, options: dict[str, Any]
) -> None:
    good = compressed(tmp_path / "good.dcm", syntax, picture_as(kind, **options))
    assert read_radiograph(good).pixels.shape == (40, 56)
    bad = compressed(tmp_path / "bad.dcm", syntax, picture_as(kind, 400, 560, **options))
    assert "at odds with its header" in refused(bad)


def test_run_lengths_for_more_than_the_image(tmp_path: Path) -> None:
    dataset = dicom_dataset(picture())
    dataset.compress(RLELossless, encoding_plugin="pydicom")
    good = save_dicom(tmp_path / "good.dcm", dataset)
    assert read_radiograph(good).pixels.shape == (40, 56)
    dataset.PixelData = encapsulate([struct.pack("<16I", 2, 64, 200, *[0] * 13) + b"\x81\x00" * 100_000])
    refused(save_dicom(tmp_path / "bad.dcm", dataset))


@pytest.mark.parametrize("offset", [1e9, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("packed", [False, True])
def test_pixels_far_behind_the_header(tmp_path: Path, offset: float, packed: bool) -> None:
    data = bytearray(write_nifti(tmp_path / "a.nii", picture().T.astype(np.int16), np.eye(4)).read_bytes())
    data[108:112] = struct.pack("<f", offset)
    path = tmp_path / f"bad.nii{'.gz' if packed else ''}"
    path.write_bytes(gzip.compress(bytes(data)) if packed else bytes(data))
    assert "is a NIfTI file that is damaged" in refused(path)


@pytest.mark.parametrize("name", ["../secret.raw", "/etc/passwd", "/dev/zero", "LIST", "a%03d.raw 1 2 1", "pipe"])
@pytest.mark.parametrize(
    ("write", "kind", "key"), [(write_metaimage, "mhd", b"ElementDataFile ="), (write_nrrd, "nhdr", b"data file:")]
)
def test_a_data_file_that_is_another_ones(tmp_path: Path, name: str, write: Any, kind: str, key: bytes) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    (tmp_path / "secret.raw").write_bytes(picture().tobytes())
    os.mkfifo(folder / "pipe")
    path = write(folder / f"a.{kind}", picture(), data=folder / "a.raw")
    assert read_radiograph(path).pixels.shape == (40, 56)
    path.write_bytes(path.read_bytes().replace(key + b" a.raw", key + b" " + name.encode()))
    assert f"names the data file {name!r}" in refused(path)


def test_a_long_name_of_a_data_file_is_not_repeated_whole(tmp_path: Path) -> None:
    path = write_metaimage(tmp_path / "a.mhd", picture(), data=tmp_path / "a.raw")
    path.write_bytes(path.read_bytes().replace(b" a.raw", b" LIST" + b"x" * 5000))
    assert len(refused(path)) < 500


def test_a_file_larger_than_any_image(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(bytes(128) + b"DICM")
    os.truncate(path, 4 * 1024**3)  # a hole, which takes no room
    assert "takes more time or memory than any sound file" in refused(path, max_pixels=1000)


@pytest.mark.parametrize(
    ("error", "said"), [(MemoryError(), "needs more memory than there is"), (OSError(11, "Try again"), "(Try again)")]
)
def test_what_the_system_refuses(error: Exception, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(radiographs, "read_in_process", refuse)
    (tmp_path / "a.png").write_bytes(picture_as("PNG"))
    assert said in refused(tmp_path / "a.png")


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    assert "is not a file" in refused(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("write", "kind", "line"),
    [
        (write_metaimage, "mha", "NDims = 2147483648"),
        (write_metaimage, "mha", "ndims = many"),
        (write_metaimage, "mha", "ElementNumberOfChannels = 1000000"),
        (write_metaimage, "mha", f"CompressedDataSize = {2**62}"),
        (write_nrrd, "nrrd", "byte skip: -5"),
        (write_nrrd, "nrrd", "dimension: 999999999"),
    ],
)
def test_numbers_that_a_header_cannot_have(
    tmp_path: Path, write: Any, kind: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ITK may pass over them, refuse them, crash or never end; whatever it does costs this file alone."""
    path = write(tmp_path / f"a.{kind}", picture(), header=line + "\n")
    good = write(tmp_path / f"good.{kind}", picture())
    assert read_radiograph(good).pixels.shape == (40, 56)
    monkeypatch.setattr(decoder_process, "SECONDS", 1)
    try:
        assert read_radiograph(path).pixels.shape == (40, 56)
    except ImageError as error:
        assert str(error).startswith(f"{path} ") and str(error).endswith(".")
    monkeypatch.undo()
    assert read_radiograph(good).pixels.shape == (40, 56)


def test_an_element_that_claims_more_than_the_file_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody makes room for it."""
    path = write_dicom(tmp_path / "a.dcm", picture())
    content = path.read_bytes()
    place = content.index(b"\xe0\x7f\x10\x00OW")
    path.write_bytes(content[: place + 8] + struct.pack("<I", 0xFFFFFFF0) + content[place + 12 :])
    whole = read_radiograph(write_dicom(tmp_path / "whole.dcm", picture())).pixels
    monkeypatch.setattr(radiographs, "_DECODER_BYTES", 300 * 1024**2)
    np.testing.assert_array_equal(read_radiograph(path, max_pixels=10_000).pixels, whole)
