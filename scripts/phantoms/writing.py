"""Files of the sample set: DICOM images and tables of landmarks."""

from __future__ import annotations

import csv
import inspect
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from .scene import SOURCE_DISTANCE, Phantom

DX_FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.1"  # Digital X-Ray Image Storage - For Presentation
_DATE, _TIME = "20240102", "120000"  # fixed, so that the same seed gives the same bytes


def _uid(*parts: object) -> str:
    return generate_uid(entropy_srcs=["one-shot-landmarks-phantom", *(str(part) for part in parts)])


def _code(value: str, scheme: str, meaning: str) -> DicomSequence:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return DicomSequence([item])


def write_dicom(path: Path, phantom: Phantom, seed: int, index: int) -> None:
    """Write one image as a DICOM file (Digital X-Ray For Presentation, Explicit VR Little Endian).

    Args:
        path: file to write.
        phantom: the image; its spacing goes into PixelSpacing and ImagerPixelSpacing.
        seed: seed of the sample set, for the UIDs.
        index: number of the image in the set, for the UIDs and the patient's ID.
    """
    height = phantom.pixels.shape[0]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DX_FOR_PRESENTATION
    meta.MediaStorageSOPInstanceUID = _uid("instance", seed, index, height)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128, is_implicit_VR=False, is_little_endian=True)
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID

    ds.PatientName, ds.PatientID = "PHANTOM^HAND", f"PHANTOM-{seed}-{index:03d}"
    ds.PatientBirthDate, ds.PatientSex = "", "O"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = _uid("study", seed, index, height), _uid("series", seed, index, height)
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = _DATE
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = _TIME
    ds.StudyID, ds.AccessionNumber, ds.ReferringPhysicianName = "1", "", ""
    ds.StudyDescription, ds.SeriesDescription = "Simulated hand radiograph", "Hand PA"
    ds.Modality, ds.PresentationIntentType = "DX", "FOR PRESENTATION"
    ds.SeriesNumber, ds.InstanceNumber, ds.AcquisitionNumber = 1, 1, 1
    ds.Manufacturer, ds.ManufacturerModelName = "One-Shot Landmarks", "Hand phantom simulator"
    ds.SoftwareVersions, ds.DeviceSerialNumber = "1", "0"

    ds.BodyPartExamined, ds.ViewPosition = "HAND", "PA"
    ds.Laterality, ds.ImageLaterality = "L", "L"
    ds.AnatomicRegionSequence = _code("85562004", "SCT", "Hand")
    ds.ViewCodeSequence = _code("272479007", "SCT", "Postero-anterior")
    # In the anatomical position a left thumb points to the patient's left and fingers point to the feet.
    ds.PatientOrientation = ["L", "H"]
    ds.AcquisitionContextSequence = DicomSequence([])

    ds.ImageType = ["DERIVED", "PRIMARY", ""]
    ds.DerivationDescription = "Simulated; shows no person"
    ds.DetectorType, ds.DetectorDescription = "SCINTILLATOR", "Simulated"
    # Nominal: no spectrum is simulated, so the tube voltage is only in proportion to the effective energy.
    ds.KVP = f"{round(phantom.exposure.energy_kev / 0.8)}"
    ds.DistanceSourceToDetector = f"{SOURCE_DISTANCE:g}"
    spacing = f"{phantom.spacing:.6f}"
    ds.PixelSpacing, ds.ImagerPixelSpacing = [spacing, spacing], [spacing, spacing]
    ds.PixelSpacingCalibrationType, ds.PixelSpacingCalibrationDescription = "GEOMETRY", "Known from the simulation"

    inverted = phantom.exposure.inverted
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME1" if inverted else "MONOCHROME2"
    ds.Rows, ds.Columns = phantom.pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelIntensityRelationship, ds.PixelIntensityRelationshipSign = "LOG", 1 if inverted else -1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
    ds.PresentationLUTShape = "INVERSE" if inverted else "IDENTITY"
    ds.WindowCenter, ds.WindowWidth = "2048", "4096"
    ds.LossyImageCompression, ds.BurnedInAnnotation = "00", "NO"
    ds.PixelData = np.ascontiguousarray(phantom.pixels, dtype="<u2").tobytes()
    ds["PixelData"].VR = "OW"

    # pydicom 3 renamed the option that writes a complete file header.
    renamed = "enforce_file_format" in inspect.signature(ds.save_as).parameters
    ds.save_as(str(path), **({"enforce_file_format": True} if renamed else {"write_like_original": False}))


def write_template_landmarks(path: Path, names: Sequence[str], points: np.ndarray) -> None:
    """Write ``name,x,y`` rows of points (landmarks, 2) as (x = column, y = row) in pixels, with 2 decimals."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["name", "x", "y"])
        writer.writerows([name, f"{x:.2f}", f"{y:.2f}"] for name, (x, y) in zip(names, points, strict=True))


def write_landmark_table(path: Path, rows: Iterable[tuple[str, np.ndarray]], count: int) -> None:
    """Write one row for each image: its name and ``x1,y1,...`` of ``count`` points in pixels, with 2 decimals."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", *(f"{axis}{k}" for k in range(1, count + 1) for axis in "xy")])
        writer.writerows([name, *(f"{value:.2f}" for value in points.ravel())] for name, points in rows)
