"""Files of simulated radiographs: DICOM images and tables of landmarks."""

import csv
import inspect
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

from phantoms.hand import LANDMARKS
from phantoms.radiograph import Phantom

#: What all images say, whoever they are of. Dates are fixed, so that the same seed gives the same bytes.
_COMMON = {
    "PatientName": "PHANTOM^HAND",
    "PatientBirthDate": "",
    "PatientSex": "O",
    **{f"{level}Date": "20240102" for level in ("Study", "Series", "Acquisition", "Content")},
    **{f"{level}Time": "120000" for level in ("Study", "Series", "Acquisition", "Content")},
    **{"StudyID": "1", "AccessionNumber": "", "ReferringPhysicianName": ""},
    **{"SeriesNumber": 1, "InstanceNumber": 1, "AcquisitionNumber": 1},
    **{"StudyDescription": "Simulated hand radiograph", "SeriesDescription": "Hand PA"},
    **{"Modality": "DX", "PresentationIntentType": "FOR PRESENTATION", "ImageType": ["DERIVED", "PRIMARY", ""]},
    **{"Manufacturer": "One-Shot Landmarks", "ManufacturerModelName": "Hand phantom simulator"},
    "DerivationDescription": "Simulated; shows no person",
    **{"BodyPartExamined": "HAND", "ViewPosition": "PA", "Laterality": "L", "ImageLaterality": "L"},
    # In the anatomical position a left thumb points to the patient's left and fingers point to the feet.
    "PatientOrientation": ["L", "H"],
    **{"DetectorType": "SCINTILLATOR", "KVP": "62", "AcquisitionContextSequence": []},
    **{"PixelSpacingCalibrationType": "GEOMETRY", "PixelSpacingCalibrationDescription": "Known from the simulation"},
    **{"SamplesPerPixel": 1, "BitsAllocated": 16, "BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0},
    **{"PixelIntensityRelationship": "LOG", "RescaleIntercept": "0", "RescaleSlope": "1", "RescaleType": "US"},
    **{"WindowCenter": "2048", "WindowWidth": "4096", "LossyImageCompression": "00", "BurnedInAnnotation": "NO"},
}
_CODES = {"AnatomicRegionSequence": ("85562004", "Hand"), "ViewCodeSequence": ("272479007", "Postero-anterior")}


def write_dicom(path: Path, phantom: Phantom, seed: int, index: int) -> None:
    """Write one image as a DICOM file (Digital X-Ray For Presentation, Explicit VR Little Endian).

    Args:
        path: file to write.
        phantom: the image.
        seed: seed of the sample set, for the UIDs.
        index: number of the image in the set, for the UIDs and the patient's ID.
    """
    rows, columns = phantom.pixels.shape
    study, series, instance = (
        generate_uid(entropy_srcs=["one-shot-landmarks-phantom", kind, str(seed), str(index), str(rows)])
        for kind in ("study", "series", "instance")
    )
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = instance
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    own = {
        "SOPClassUID": DigitalXRayImageStorageForPresentation,
        **{"SOPInstanceUID": instance, "StudyInstanceUID": study, "SeriesInstanceUID": series},
        "PatientID": f"PHANTOM-{seed}-{index:03d}",
        **{name: [f"{phantom.spacing:.6f}"] * 2 for name in ("PixelSpacing", "ImagerPixelSpacing")},
        "PhotometricInterpretation": "MONOCHROME1" if phantom.inverted else "MONOCHROME2",
        "PresentationLUTShape": "INVERSE" if phantom.inverted else "IDENTITY",
        "PixelIntensityRelationshipSign": 1 if phantom.inverted else -1,
        **{"Rows": rows, "Columns": columns},
    }
    image = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128, is_implicit_VR=False)
    for name, value in {**_COMMON, **own}.items():
        setattr(image, name, value)
    for name, (code, meaning) in _CODES.items():
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, "SCT", meaning
        setattr(image, name, [item])
    image.PixelData = np.ascontiguousarray(phantom.pixels, dtype="<u2").tobytes()
    image["PixelData"].VR = "OW"
    # pydicom 3 renamed the option that writes a complete file header.
    renamed = "enforce_file_format" in inspect.signature(image.save_as).parameters
    image.save_as(str(path), **({"enforce_file_format": True} if renamed else {"write_like_original": False}))


def write_landmarks(path: Path, points: np.ndarray) -> None:
    """Write ``name,x,y`` rows of one image's points (37, 2), (x = column, y = row) in pixels."""
    _write_rows(path, ["name", "x", "y"], ([name, *point] for name, point in zip(LANDMARKS, points, strict=True)))


def write_landmark_table(path: Path, points: dict[str, np.ndarray]) -> None:
    """Write one row for each image: its name and ``x1,y1,...`` of its points in pixels."""
    header = ["image", *(f"{axis}{number}" for number in range(1, len(LANDMARKS) + 1) for axis in "xy")]
    _write_rows(path, header, ([name, *found.ravel()] for name, found in points.items()))


def _write_rows(path: Path, header: list[str], rows: Iterable[list]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([name, *(f"{value:.2f}" for value in values)] for name, *values in rows)
