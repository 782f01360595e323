"""Small files of every kind that is read, from which the fuzzer starts."""

import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from tests.io.image_files import (
    dicom_dataset,
    functional_groups,
    lut_item,
    picture,
    write_metaimage,
    write_nifti,
    write_nrrd,
    write_tiff,
)


@dataclass(frozen=True)
class Seed:
    """One sound file.

    Attributes:
        name: what it is.
        suffix: the ending of the file's name.
        data: its content; what a compressed file holds, where ``pack`` is given.
        reader: ``"image"``, ``"landmarks"`` or ``"table"``.
        pack: what makes the file of the content after it was changed.
    """

    name: str
    suffix: str
    data: bytes
    reader: str
    pack: Callable[[bytes], bytes] | None = None


def make_corpus(folder: Path) -> list[Seed]:
    """All seeds; the folder is only used on the way."""
    return [*_rasters(), *_dicoms(), *_volumes(folder), *_landmarks()]


def _rasters() -> Iterator[Seed]:
    grey, deep = picture(top=255, dtype=np.uint8), picture(top=60000)
    for name, pixels, options in (
        ("png", grey, {}),
        ("png 16", deep, {}),
        ("jpeg", grey, {}),
        ("jpeg progressive", grey, {"progressive": True}),
        ("bmp", grey, {}),
        *((f"tiff {kind}", deep, {"compression": kind}) for kind in ("tiff_lzw", "tiff_adobe_deflate", "packbits")),
        ("tiff jpeg", grey, {"compression": "jpeg"}),
        ("png palette", Image.fromarray(grey).convert("P"), {}),
        ("png rgba", Image.fromarray(grey).convert("RGBA"), {}),
        ("jpeg colour", Image.fromarray(grey).convert("RGB"), {}),
    ):
        image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
        kind, stream = name.split()[0], io.BytesIO()
        image.save(stream, kind, **options)
        yield Seed(name, f".{kind}", stream.getvalue(), "image")


def _dicoms() -> Iterator[Seed]:
    more = {"PixelSpacing": [0.2, 0.1], "RescaleSlope": 2, "RescaleIntercept": -5, "PixelPaddingValue": 0}
    for syntax in ("1.2.840.10008.1.2.1", ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian):
        dataset = dicom_dataset(picture(), PatientName="Doe^Jane", **more)
        dataset.file_meta.TransferSyntaxUID = UID(syntax)
        if syntax == ExplicitVRBigEndian:
            dataset.PixelData = picture().astype(">u2").tobytes()
        yield Seed(f"dicom {UID(syntax).name}", ".dcm", _dicom_bytes(dataset), "image")
    dataset = dicom_dataset(picture(), **more)
    dataset.compress(RLELossless, encoding_plugin="pydicom")
    yield Seed("dicom RLE", ".dcm", _dicom_bytes(dataset), "image")
    pixels = picture(top=255, dtype=np.uint8)
    throughput = (Path(__file__).parents[1] / "io" / "streams" / "picture_8.j2c").read_bytes()
    for name, stream, syntax, fragments in (
        ("JPEG", _saved(pixels, "JPEG"), "1.2.840.10008.1.2.4.50", 1),
        ("JPEG in fragments", _saved(pixels, "JPEG"), "1.2.840.10008.1.2.4.50", 5),
        ("JPEG2000", _saved(pixels, "JPEG2000"), "1.2.840.10008.1.2.4.90", 1),
        ("HTJ2K", throughput, "1.2.840.10008.1.2.4.201", 1),
    ):
        dataset = dicom_dataset(pixels, bits=8)
        dataset.file_meta.TransferSyntaxUID = UID(syntax)
        dataset.PixelData = encapsulate([stream], fragments_per_frame=fragments)
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
        yield Seed(f"dicom {name}", ".dcm", _dicom_bytes(dataset), "image")
    groups = functional_groups(
        PixelMeasuresSequence={"PixelSpacing": [0.2, 0.1]},
        PlaneOrientationSequence={"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]},
        PixelValueTransformationSequence={"RescaleSlope": 2, "RescaleIntercept": -5},
        FrameVOILUTSequence={"WindowCenter": 100, "WindowWidth": 50},
        FrameDisplayShutterSequence={"ShutterShape": "CIRCULAR", "CenterOfCircularShutter": [20, 28]},
    )
    dataset = dicom_dataset(picture(), sop_class="1.2.840.10008.5.1.4.1.1.13.1.4", NumberOfFrames=1, **groups)
    yield Seed("dicom with functional groups", ".dcm", _dicom_bytes(dataset), "image")
    tables = {f"{stage}LUTSequence": [lut_item(np.arange(4096) >> 4, 8)] for stage in ("Modality", "VOI")}
    plane = {"ImagePlanePixelSpacing": [0.6, 0.3], "RTImageSID": 1500, "RadiationMachineSAD": 1000}
    sign = {"PresentationIntentType": "FOR PROCESSING", "PixelIntensityRelationshipSign": 1, "PixelAspectRatio": [2, 1]}
    dataset = dicom_dataset(picture() << 4, HighBit=15, **tables, **plane, **sign)
    yield Seed("dicom with tables", ".dcm", _dicom_bytes(dataset), "image")
    yield Seed("dicom colour", ".dcm", _dicom_bytes(dicom_dataset(np.dstack([picture(dtype=np.uint8)] * 3))), "image")


def _saved(pixels: np.ndarray, kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def _dicom_bytes(dataset: pydicom.Dataset) -> bytes:
    stream = io.BytesIO()
    syntax = dataset.file_meta.TransferSyntaxUID
    pydicom.dcmwrite(
        stream,
        dataset,
        implicit_vr=syntax.is_implicit_VR,
        little_endian=syntax.is_little_endian,
        force_encoding=True,
    )
    return stream.getvalue()


def _volumes(folder: Path) -> Iterator[Seed]:
    columns_first = picture().T.astype(np.int16)
    plain = write_nifti(folder / "a.nii", columns_first, np.eye(4)).read_bytes()
    yield Seed("nifti", ".nii", plain, "image")
    yield Seed("nifti gz", ".nii.gz", plain, "image", gzip.compress)
    yield Seed("nifti gz, packed", ".nii.gz", gzip.compress(plain), "image")
    yield Seed(
        "metaimage", ".mha", write_metaimage(folder / "a.mha", picture(), "DistanceUnits = um\n").read_bytes(), "image"
    )
    packed = zlib.compress(picture().tobytes())
    head = f"CompressedData = True\nCompressedDataSize = {len(packed)}\n"
    text = write_metaimage(folder / "b.mha", picture(), header=head).read_bytes()
    yield Seed("metaimage zlib", ".mha", text[: -picture().nbytes] + packed, "image")
    yield Seed("nrrd", ".nrrd", write_nrrd(folder / "a.nrrd", picture(), 'units: "um" "um"\n').read_bytes(), "image")
    raw = write_nrrd(folder / "b.nrrd", picture()).read_bytes()
    text = raw[: -picture().nbytes].replace(b"encoding: raw", b"encoding: gzip")
    yield Seed("nrrd gzip", ".nrrd", text + gzip.compress(picture().tobytes()), "image")
    yield Seed("tiff by hand", ".tif", write_tiff(folder / "a.tif", picture().astype(np.float32)).read_bytes(), "image")


def _landmarks() -> Iterator[Seed]:
    names = ["sella", "nasion", "orbitale", "Ä 骨"]
    rows = "".join(f"{name},{10.5 + number},{7 * number}\n" for number, name in enumerate(names))
    yield Seed("csv of one image", ".csv", f"name,x,y\n{rows}".encode(), "landmarks")
    yield Seed("csv with quotes", ".csv", b'name;x;y;note\n"a;b";1;2;"c ""d"""\nc;;;\n', "landmarks")
    wide = "image,x1,y1,x2,y2\n" + "".join(f"{row:03d},{row},2,3,4.5\n" for row in range(9))
    yield Seed("csv of many images", ".csv", wide.encode(), "table")
    listed = [{"name": name, "x": 1.5 * number, "y": None} for number, name in enumerate(names)]
    listed = [one if one["y"] else {**one, "x": None} for one in listed]
    own = {"schema": "one-shot-landmarks/result/1", "width": 56, "height": 40, "landmarks": listed}
    yield Seed("json of our own", ".json", json.dumps(own).encode(), "landmarks")
    yield Seed("json of pairs", ".json", json.dumps({name: [1, 2.5] for name in names}).encode(), "landmarks")
    controls = [{"label": name, "position": [3.0, 4.0, 0.0], "positionStatus": "defined"} for name in names]
    markup = {"type": "Fiducial", "coordinateSystem": "LPS", "coordinateUnits": "mm", "controlPoints": controls}
    yield Seed("3D Slicer", ".mrk.json", json.dumps({"markups": [markup]}).encode(), "landmarks")
