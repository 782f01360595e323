"""Every SOP class of images, read here and by ITK: where the pixels lie, how large they are, and how grey.

Each row of the tables is a way to write a header. Where ITK, and so 3D Slicer, says something else than this project,
the row says in which classes and why.
"""

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from image_files import functional_groups, picture, write_dicom
from pydicom.dataset import Dataset
from pydicom.uid import UID, UID_dictionary

from bundle.io.intensity import scale_to_unit
from bundle.io.radiographs import read_radiograph

itk = pytest.importorskip("itk")

STORED = picture()
#: Every SOP class of the standard, retired ones too, whose objects can hold one frame of grey pixels.
CLASSES = sorted(
    uid
    for uid, (name, kind, *_) in UID_dictionary.items()
    if kind == "SOP Class"
    and "Storage" in name
    and any(word in name for word in ("Image", "Dose", "Map", "Segmentation"))
    and not any(word in name for word in ("SR", "Presentation State", "Surface", "Real World"))
)


def item(**elements: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


PLANE = {
    "PlaneOrientationSequence": {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]},
    "PlanePositionSequence": {"ImagePositionPatient": [10, 20, 30]},
}


def by_itk(path: Path) -> Any:
    image_io = itk.GDCMImageIO.New()
    image_io.SetFileName(str(path))
    image_io.ReadImageInformation()
    return image_io


def itk_step(image_io: Any) -> tuple[float, float]:
    return image_io.GetSpacing(0), image_io.GetSpacing(1)


def itk_pixel_to_lps(image_io: Any) -> np.ndarray:
    columns = [np.array(image_io.GetDirection(axis)) * image_io.GetSpacing(axis) for axis in (0, 1)]
    return np.stack([*columns, np.array([image_io.GetOrigin(axis) for axis in range(3)])], axis=1)


def itk_values(path: Path) -> np.ndarray:
    return np.squeeze(itk.array_from_image(itk.imread(str(path), pixel_type=itk.D, imageio=by_itk(path))))


#: ITK cannot open these at all.
UNREAD = "unread"


@cache
def kind_of(sop_class: str) -> str:
    """Which elements ITK takes the step from, found by asking it."""
    if sop_class == "1.2.840.10008.5.1.4.1.1.7":
        return "secondary capture"  # PixelSpacing, or else NominalScannedPixelSpacing
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        found = ["none"]
        for name, elements in {
            "PixelSpacing": {"PixelSpacing": [0.4, 0.3]},
            "ImagerPixelSpacing": {"ImagerPixelSpacing": [0.4, 0.3]},
            "ImagePlanePixelSpacing": {"ImagePlanePixelSpacing": [0.4, 0.3]},
            "NominalScannedPixelSpacing": {"NominalScannedPixelSpacing": [0.4, 0.3]},
            "groups": functional_groups(PixelMeasuresSequence={"PixelSpacing": [0.4, 0.3]}, **PLANE),
        }.items():
            path = write_dicom(Path(folder) / "a.dcm", STORED, sop_class=sop_class, NumberOfFrames=1, **elements)
            try:
                if itk_step(by_itk(path)) == (0.3, 0.4):
                    found.append(name)
            except RuntimeError:
                return UNREAD
    return found[-1]


def test_the_classes_are_many_and_itk_knows_most() -> None:
    kinds = [kind_of(sop_class) for sop_class in CLASSES]
    assert len(CLASSES) > 65 and kinds.count(UNREAD) < 30
    assert set(kinds) == {
        *AGREES["PixelSpacing"],
        *AGREES["ImagerPixelSpacing"],
        *AGREES["ImagePlanePixelSpacing"],
        *AGREES["NominalScannedPixelSpacing"],
        "groups",
        "none",
        UNREAD,
    }


class Size(NamedTuple):
    """A way to state the size of a pixel: what is read, and in which kinds of classes ITK reads something else."""

    elements: dict[str, Any]
    spacing: tuple[float, float] | None
    agrees: set[str]
    because: str


ONE = "ITK looks at one element for each class, and takes 1 mm where that is absent; here any element counts"
PROJECTION, PLAIN = "ImagerPixelSpacing", "PixelSpacing"
AGREES = {
    "PixelSpacing": {PLAIN, "secondary capture"},
    "ImagerPixelSpacing": {PROJECTION},
    "ImagePlanePixelSpacing": {"ImagePlanePixelSpacing"},
    "NominalScannedPixelSpacing": {"NominalScannedPixelSpacing", "secondary capture"},
}
UNKNOWN = {
    PLAIN,
    PROJECTION,
    "ImagePlanePixelSpacing",
    "NominalScannedPixelSpacing",
    "secondary capture",
    "groups",
    "none",
}
SIZES = {
    "nothing": Size({}, None, UNKNOWN, ""),
    "PixelSpacing": Size({"PixelSpacing": [0.4, 0.3]}, (0.3, 0.4), AGREES["PixelSpacing"], ONE),
    "detector": Size({"ImagerPixelSpacing": [0.4, 0.3]}, (0.3, 0.4), AGREES["ImagerPixelSpacing"], ONE),
    "RT image": Size({"ImagePlanePixelSpacing": [0.4, 0.3]}, (0.3, 0.4), AGREES["ImagePlanePixelSpacing"], ONE),
    "film": Size({"NominalScannedPixelSpacing": [0.4, 0.3]}, (0.3, 0.4), AGREES["NominalScannedPixelSpacing"], ONE),
    "detector and patient": Size(
        {"PixelSpacing": [0.4, 0.3], "ImagerPixelSpacing": [0.6, 0.5]},
        (0.3, 0.4),
        AGREES["PixelSpacing"],
        "the spacing in the patient goes before that at the detector (PS3.3 10.7.1.3); ITK chooses by the class",
    ),
    "magnified": Size(
        {"ImagerPixelSpacing": [0.8, 0.6], "EstimatedRadiographicMagnificationFactor": 2},
        (0.3, 0.4),
        set(),
        "ITK leaves the spacing at the detector, which is larger than in the patient",
    ),
    "at the isocentre": Size(
        {"ImagePlanePixelSpacing": [0.6, 0.45], "RTImageSID": 1500, "RadiationMachineSAD": 1000},
        (0.3, 0.4),
        set(),
        "ITK leaves the spacing in the plane of the image, beyond the patient",
    ),
    "filler": Size({"PixelSpacing": [1, 1], "ImagerPixelSpacing": [1, 1]}, None, UNKNOWN, ""),
    "calibrated filler": Size({"PixelSpacing": [1, 1], "PixelSpacingCalibrationType": "FIDUCIAL"}, (1, 1), UNKNOWN, ""),
    "zero": Size({"PixelSpacing": [0, 0], "ImagerPixelSpacing": [0, 0]}, None, UNKNOWN, ""),
    "zero beside film": Size(
        {"PixelSpacing": [0, 0], "NominalScannedPixelSpacing": [0.4, 0.3]},
        (0.3, 0.4),
        {"NominalScannedPixelSpacing"},
        ONE,
    ),
    "proportion alone": Size({"PixelAspectRatio": [2, 1]}, None, UNKNOWN, ""),
    "groups of all frames": Size(
        functional_groups(PixelMeasuresSequence={"PixelSpacing": [0.4, 0.3]}, **PLANE), (0.3, 0.4), {"groups"}, ONE
    ),
    "groups of the frame": Size(
        functional_groups(per_frame=True, PixelMeasuresSequence={"PixelSpacing": [0.4, 0.3]}, **PLANE),
        (0.3, 0.4),
        {"groups"},
        ONE,
    ),
    "groups and header": Size(
        {"PixelSpacing": [0.6, 0.5], **functional_groups(PixelMeasuresSequence={"PixelSpacing": [0.4, 0.3]}, **PLANE)},
        (0.3, 0.4),
        {"groups"},
        "functional groups go before the header; ITK looks at one of both, by the class",
    ),
    "groups of angiography": Size(
        functional_groups(FramePixelDataPropertiesSequence={"ImagerPixelSpacing": [0.4, 0.3]}, **PLANE),
        (0.3, 0.4),
        set(),
        ONE,
    ),
}
PLACES = {
    "oriented": {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1], "ImagePositionPatient": [10, 20, 30]},
    "position alone": {"ImagePositionPatient": [10, 20, 30]},
    "orientation alone": {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]},
    "slanted": {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0], "ImagePositionPatient": [10, 20, 30]},
}


#: Where ITK puts the pixels at another place: rows, classes, and why it is not followed.
ELSEWHERE = [
    (
        {"zero", "zero beside film"},
        {"1.29", "3", "3.1", "6", "6.1", "77.1.1.1"},
        "ITK takes the zero, and then refuses the image, so that there is no place to follow",
    ),
]


def reason(row: str, sop_class: str) -> str:
    """Why ITK puts the pixels elsewhere; empty where it does not."""
    short = sop_class.removeprefix("1.2.840.10008.5.1.").removeprefix("4.1.1.")
    return next((why for rows, classes, why in ELSEWHERE if row in rows and short in classes), "")


@pytest.mark.parametrize("sop_class", CLASSES, ids=lambda uid: UID(uid).keyword)
def test_the_size_and_the_place_of_a_pixel(tmp_path: Path, sop_class: str) -> None:
    kind = kind_of(sop_class)
    for name, row in SIZES.items():
        path = write_dicom(tmp_path / "a.dcm", STORED, sop_class=sop_class, NumberOfFrames=1, **row.elements)
        radiograph = read_radiograph(path)
        assert radiograph.spacing == (row.spacing and pytest.approx(row.spacing)), name
        if kind == UNREAD:
            continue
        theirs = by_itk(path)
        same_place = np.allclose(radiograph.pixel_to_lps, itk_pixel_to_lps(theirs), atol=1e-9)
        assert same_place != bool(reason(name, sop_class)), (name, itk_pixel_to_lps(theirs))
        agrees = itk_step(theirs) == pytest.approx(row.spacing or (1.0, 1.0)) or name == "zero"
        assert agrees == (kind in row.agrees) and (agrees or row.because), (name, kind, itk_step(theirs))
    for name, elements in PLACES.items():
        path = write_dicom(tmp_path / "a.dcm", STORED, sop_class=sop_class, NumberOfFrames=1, **elements)
        if kind != UNREAD:
            same_place = np.allclose(read_radiograph(path).pixel_to_lps, itk_pixel_to_lps(by_itk(path)), atol=1e-9)
            assert same_place != bool(reason(name, sop_class)), (name, itk_pixel_to_lps(by_itk(path)))


class Grey(NamedTuple):
    """A way to store grey values: the header, the values that bright bone comes from, and where ITK differs."""

    elements: dict[str, Any]
    stored: np.ndarray
    bright: np.ndarray
    differs: set[str] | str
    because: str


def table(entries: np.ndarray) -> dict[str, Any]:
    held = item(LUTDescriptor=[len(entries), 0, 16], ModalityLUTType="US")
    held.add_new(0x00283006, "OW", entries.astype("<u2").tobytes())
    return {"ModalityLUTSequence": [held]}


EVERY, NONE = "every class", "no class"
SQUARED = np.round((np.arange(4096) / 4095) ** 2 * 60000).astype(np.uint16)
ANGIOGRAPHY = {f"1.2.840.10008.5.1.4.1.1.12.{end}" for end in ("1", "2", "3", "1.1", "2.1")}
SIGNED = STORED.astype(np.int16) // np.int16(2) - np.int16(1000)
GREYS = {
    "plain": Grey({}, STORED, STORED, NONE, ""),
    "signed": Grey({"BitsStored": 16, "HighBit": 15}, SIGNED, SIGNED, NONE, ""),
    "unextended sign": Grey({}, SIGNED & np.int16(0xFFF), SIGNED, NONE, ""),
    "above the stored bits": Grey({}, STORED | np.uint16(0xF000), STORED, NONE, ""),
    "8 bits": Grey({"BitsStored": 8, "HighBit": 7}, (STORED >> 4).astype(np.uint8), STORED >> 4, NONE, ""),
    "low is bright": Grey({"PhotometricInterpretation": "MONOCHROME1"}, STORED, 4095 - STORED, NONE, ""),
    "rescaled": Grey({"RescaleSlope": 2, "RescaleIntercept": -100}, STORED, STORED, NONE, ""),
    "rescaled downwards": Grey({"RescaleSlope": -2, "RescaleIntercept": 100}, STORED, 4095 - STORED, NONE, ""),
    "window": Grey({"WindowCenter": 500, "WindowWidth": 100}, STORED, STORED, NONE, ""),
    "table": Grey(
        table(SQUARED),
        STORED,
        SQUARED[STORED],
        EVERY,
        "ITK does not apply ModalityLUTSequence, which PS3.3 C.11.1 asks for",
    ),
    "high bit": Grey(
        {"HighBit": 15},
        STORED << 4,
        STORED,
        EVERY,
        "GDCM shifts the values the wrong way, so that most of them are lost",
    ),
    "processing": Grey(
        {"PresentationIntentType": "FOR PROCESSING", "PixelIntensityRelationshipSign": 1},
        STORED,
        4095 - STORED,
        EVERY,
        "ITK shows images for processing as they are, though bone is dark in them (PS3.3 C.8.11.3.1.2)",
    ),
    "angiography": Grey(
        {"PixelIntensityRelationship": "LOG", "RescaleSlope": -2, "RescaleIntercept": 0},
        STORED,
        4095 - STORED,
        ANGIOGRAPHY,
        "the transformation leads back to intensity, and is not for display",
    ),
    "rescaled in the groups": Grey(
        functional_groups(PixelValueTransformationSequence={"RescaleSlope": -2, "RescaleIntercept": 9}, **PLANE),
        STORED,
        4095 - STORED,
        "classes without groups",
        "such groups are against the standard there, and ITK passes over them",
    ),
}


@pytest.mark.parametrize("sop_class", CLASSES, ids=lambda uid: UID(uid).keyword)
def test_grey_values(tmp_path: Path, sop_class: str) -> None:
    for name, row in GREYS.items():
        path = write_dicom(tmp_path / "a.dcm", row.stored, sop_class=sop_class, NumberOfFrames=1, **row.elements)
        ours = read_radiograph(path).pixels
        differs = row.differs in (EVERY,) or sop_class in row.differs
        bright = STORED if sop_class in ANGIOGRAPHY and name == "angiography" else row.bright
        np.testing.assert_allclose(ours, scale_to_unit(bright, path), atol=1e-6, err_msg=name)
        if kind_of(sop_class) == UNREAD:
            continue
        theirs = scale_to_unit(itk_values(path), path)
        if row.differs == "classes without groups":
            continue
        assert np.allclose(ours, theirs, atol=1e-6) != differs and (not differs or row.because), name
